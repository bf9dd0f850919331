#include "table_pads.hpp"

namespace capc::gc {
namespace {

/// For each table what those before it have of something; then what all have.
[[nodiscard]] std::vector<std::size_t> places_of(const std::vector<Table>& tables,
                                                 std::size_t (*each)(const Table& table)) {
  std::vector<std::size_t> places = {0};
  for (const Table& table : tables) places.push_back(places.back() + each(table));
  return places;
}

[[nodiscard]] std::size_t sent_planes(const Table& table) {
  return table.has_numbers ? 0 : table.entries() * table.message_bits;
}
[[nodiscard]] std::size_t sent_numbers(const Table& table) {
  return table.has_numbers ? table.entries() : 0;
}
[[nodiscard]] std::size_t received_planes(const Table& table) {
  return table.choice_bits + (table.has_numbers ? 0 : table.message_bits);
}
[[nodiscard]] std::size_t received_numbers(const Table& table) { return table.has_numbers ? 1 : 0; }

/// Between the bits of a pad in what Kernels::node_pads gives.
[[nodiscard]] std::size_t plane_stride(const Table& table) { return table.entries() > 8 ? 16 : 8; }

}  // namespace

TablePads::TablePads(const std::vector<Table>& tables, std::size_t instances, Count planes,
                     Count numbers)
    : tables_(tables),
      instances_(instances),
      planes_(places_of(tables, planes)),
      places_(places_of(tables, numbers)),
      bits_(planes_.back(), instances),
      numbers_(places_.back() * instances) {}

std::size_t TablePads::instance_bytes(const std::vector<Table>& tables, Count planes,
                                      Count numbers) {
  return (places_of(tables, planes).back() + 7) / 8 +
         places_of(tables, numbers).back() * sizeof(Word);
}

SenderPads::SenderPads(const std::vector<Table>& tables, std::size_t instances)
    : TablePads(tables, instances, sent_planes, sent_numbers) {}

std::size_t SenderPads::instance_bytes(const std::vector<Table>& tables) {
  return TablePads::instance_bytes(tables, sent_planes, sent_numbers);
}

void SenderPads::fill(const SessionCore& core, const Multiples& multiples, std::uint64_t tweak,
                      std::size_t first, std::size_t count, const Block* labels) {
  for (const Table& table : tables_) {
    const TableLabels own{labels + table.first_transfer * count, count, table.choice_bits, count};
    const TweakRange tweaks{core.start, tweak + table.index * instances_ + first, 0};
    if (table.has_numbers) {
      core.kernels->number_pads(
          own, tweaks, multiples.data(),
          &numbers_[places_[table.index] * instances_ + first * table.entries()]);
    } else {
      fill_bits(core, multiples, tweaks, table, own, first);
    }
  }
}

void SenderPads::fill_bits(const SessionCore& core, const Multiples& multiples,
                           const TweakRange& tweaks, const Table& table, const TableLabels& labels,
                           std::size_t first) {
  Secret<TurnedTables> block;
  auto& words = block.get().words;
  auto& slices = block.get().slices;
  for (std::size_t done = 0; done < labels.count; done += words.size()) {
    const std::size_t count = std::min(words.size(), labels.count - done);
    core.kernels->node_pads({labels.labels + done, labels.stride, labels.choice_bits, count},
                            {tweaks.start, tweaks.first + done, 0}, multiples.data(), words.data());
    std::fill(words.begin() + static_cast<std::ptrdiff_t>(count), words.end(), 0);
    block.get().turn();
    for (std::size_t p = 0; p < table.message_bits; ++p) {
      for (std::size_t j = 0; j < table.entries(); ++j) {
        const std::size_t plane = planes_[table.index] + p * table.entries() + j;
        for_each_slice(count, [&](std::size_t slice, std::size_t /*some*/) {
          bits_.put(plane, first + done + slice * kSliceInstances,
                    slices[p * plane_stride(table) + j][slice]);
        });
      }
    }
  }
}

NodeTable SenderPads::bits(const Table& table, std::size_t slice) const {
  NodeTable pads{};
  for (std::size_t p = 0; p < table.message_bits; ++p) {
    for (std::size_t j = 0; j < table.entries(); ++j) {
      pads[p][j] = bits_.at(planes_[table.index] + p * table.entries() + j, slice);
    }
  }
  return pads;
}

ReceiverPads::ReceiverPads(const std::vector<Table>& tables, std::size_t instances)
    : TablePads(tables, instances, received_planes, received_numbers) {}

std::size_t ReceiverPads::instance_bytes(const std::vector<Table>& tables) {
  return TablePads::instance_bytes(tables, received_planes, received_numbers);
}

void ReceiverPads::fill(const SessionCore& core, std::uint64_t tweak, std::size_t first,
                        std::size_t count, const Block* labels) {
  SecretArray<Block> pads(count);
  for (const Table& table : tables_) {
    const TableLabels own{labels + table.first_transfer * count, count, table.choice_bits, count};
    core.kernels->polynomials(own, pads.data());
    core.kernels->hash(core.start, tweak + table.index * instances_ + first, pads.data(),
                       pads.data(), count);
    for_each_slice(count, [&](std::size_t slice, std::size_t some) {
      const std::size_t start = slice * kSliceInstances;
      std::size_t plane = planes_[table.index];
      NodeEntry bits;
      for (std::size_t i = 0; i < table.choice_bits; ++i) {
        core.kernels->low_bits(own.labels + i * count + start, some, 1, bits.data());
        bits_.put(plane++, first + start, bits[0]);
      }
      if (table.has_numbers) return;
      core.kernels->low_bits(&pads[start], some, table.message_bits, bits.data());
      for (std::size_t p = 0; p < table.message_bits; ++p) {
        bits_.put(plane++, first + start, bits[p]);
      }
    });
    if (!table.has_numbers) continue;
    Word* const numbers = &numbers_[places_[table.index] * instances_ + first];
    for (std::size_t n = 0; n < count; ++n) numbers[n] = pads[n].lo;
  }
}

Choice ReceiverPads::choice(const Table& table, std::size_t slice) const {
  Choice choice{};
  for (std::size_t i = 0; i < table.choice_bits; ++i) {
    choice[i] = bits_.at(planes_[table.index] + i, slice);
  }
  return choice;
}

NodeEntry ReceiverPads::bits(const Table& table, std::size_t slice) const {
  NodeEntry pad{};
  for (std::size_t p = 0; p < table.message_bits; ++p) {
    pad[p] = bits_.at(planes_[table.index] + table.choice_bits + p, slice);
  }
  return pad;
}

}  // namespace capc::gc

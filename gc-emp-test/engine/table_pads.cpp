#include "table_pads.hpp"

namespace capc::gc {
namespace {

/// For each table of numbers the pads before its own, of `each` pads a table; then those of all.
template <class Each>
[[nodiscard]] std::vector<std::size_t> places_of(const std::vector<Table>& tables, Each each) {
  std::vector<std::size_t> places = {0};
  for (const Table& table : tables) {
    places.push_back(places.back() + (table.has_numbers ? each(table) : 0));
  }
  return places;
}

}  // namespace

SenderPads::SenderPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  places_ = places_of(tables, [](const Table& table) { return table.entries(); });
  numbers_ = SecretArray<Word>(places_.back() * instances);
}

std::size_t SenderPads::instance_bytes(const std::vector<Table>& tables) {
  std::size_t bytes = tables.size() * sizeof(NodeTable);
  for (const Table& table : tables) bytes += table.has_numbers ? table.entries() * sizeof(Word) : 0;
  return bytes;
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
      core.kernels->node_pads(own, tweaks, multiples.data(),
                              &bits_[table.index * instances_ + first]);
    }
  }
}

ReceiverPads::ReceiverPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  places_ = places_of(tables, [](const Table&) { return std::size_t{1}; });
  numbers_ = SecretArray<Word>(places_.back() * instances);
}

std::size_t ReceiverPads::instance_bytes(const std::vector<Table>& tables) {
  std::size_t bytes = tables.size() * sizeof(std::uint8_t);
  for (const Table& table : tables) bytes += table.has_numbers ? sizeof(Word) : 0;
  return bytes;
}

void ReceiverPads::fill(const SessionCore& core, std::uint64_t tweak, std::size_t first,
                        std::size_t count, const Block* labels) {
  SecretArray<Block> pads(count);
  for (const Table& table : tables_) {
    const TableLabels own{labels + table.first_transfer * count, count, table.choice_bits, count};
    core.kernels->polynomials(own, pads.data());
    core.kernels->hash(core.start, tweak + table.index * instances_ + first, pads.data(),
                       pads.data(), count);
    for (std::size_t n = 0; n < count; ++n) {
      Word choice = 0;
      for (std::size_t i = 0; i < table.choice_bits; ++i) {
        choice |= (own.labels[i * count + n].lo & 1U) << i;
      }
      const Word pad = pads[n].lo;
      bits_[table.index * instances_ + first + n] =
          static_cast<std::uint8_t>((pad & 15U) | choice << 4U);
      if (table.has_numbers) numbers_[places_[table.index] * instances_ + first + n] = pad;
    }
  }
}

}  // namespace capc::gc

#include "table_pads.hpp"

namespace capc::gc {
namespace {

struct Counted {
  std::size_t numbers = 0;
  std::vector<std::size_t> places;
};

[[nodiscard]] Counted count_of(const std::vector<Table>& tables) {
  Counted counted;
  for (const Table& table : tables) {
    counted.places.push_back(counted.numbers);
    if (table.has_numbers) ++counted.numbers;
  }
  return counted;
}

}  // namespace

SenderPads::SenderPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  Counted counted = count_of(tables);
  places_ = std::move(counted.places);
  numbers_ = SecretArray<Word>(2 * counted.numbers * instances);
}

void SenderPads::fill(const SessionCore& core, const Multiples& multiples, std::uint64_t tweak,
                      std::size_t first, std::size_t count, const Block* labels) {
  for (const Table& table : tables_) {
    const TableLabels own{labels + table.first_transfer * count, count, table.choice_bits, count};
    const TweakRange tweaks{core.start, tweak + table.index * instances_ + first, 0};
    if (table.has_numbers) {
      core.kernels->number_pads(own, tweaks, multiples.data(),
                                &numbers_[2 * (places_[table.index] * instances_ + first)]);
    } else {
      core.kernels->node_pads(own, tweaks, multiples.data(),
                              &bits_[table.index * instances_ + first]);
    }
  }
}

ReceiverPads::ReceiverPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  Counted counted = count_of(tables);
  places_ = std::move(counted.places);
  numbers_ = SecretArray<Word>(counted.numbers * instances);
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
          static_cast<std::uint8_t>((pad & 3U) | choice << 2U);
      if (table.has_numbers) numbers_[places_[table.index] * instances_ + first + n] = pad;
    }
  }
}

}  // namespace capc::gc

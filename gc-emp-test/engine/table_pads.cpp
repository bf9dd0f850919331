#include "table_pads.hpp"

#include <algorithm>

namespace capc::gc {
namespace {

constexpr std::size_t kBatch = 64;  // instances that are hashed together

using Hashed = std::array<Block, kBatch>;

struct Counted {
  std::size_t transfers = 0;
  std::size_t numbers = 0;
  std::vector<std::size_t> places;
};

[[nodiscard]] Counted count_of(const std::vector<Table>& tables) {
  Counted counted;
  for (const Table& table : tables) {
    counted.transfers += table.choice_bits;
    counted.places.push_back(counted.numbers);
    if (table.has_numbers) ++counted.numbers;
  }
  return counted;
}

/// `work` for each table and up to kBatch instances: with their first one, their number, the tweak
/// of the first one's table, and Q or T of each.
template <class Work>
void for_each_table(const std::vector<Table>& tables, std::size_t instances, std::size_t transfers,
                    std::uint64_t tweak, std::size_t first, std::size_t count, const Block* labels,
                    Work work) {
  Secret<Hashed> sums;
  for (const Table& table : tables) {
    for (std::size_t i = 0; i < count; i += kBatch) {
      const std::size_t some = std::min(kBatch, count - i);
      for (std::size_t n = 0; n < some; ++n) {
        sums.get()[n] =
            polynomial(labels + (i + n) * transfers + table.first_transfer, table.choice_bits);
      }
      work(table, first + i, some, tweak + table.index * instances + first + i, sums.get());
    }
  }
}

}  // namespace

SenderPads::SenderPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  Counted counted = count_of(tables);
  transfers_ = counted.transfers;
  places_ = std::move(counted.places);
  numbers_ = SecretArray<Word>(2 * counted.numbers * instances);
}

void SenderPads::fill(const SessionCore& core, const Multiples& multiples, std::uint64_t tweak,
                      std::size_t first, std::size_t count, const Block* labels) {
  Secret<Hashed> pads;
  for_each_table(
      tables_, instances_, transfers_, tweak, first, count, labels,
      [&](const Table& table, std::size_t at, std::size_t some, std::uint64_t own_tweak,
          const Hashed& sums) {
        NodeTable* const bits = &bits_[table.index * instances_ + at];
        for (std::size_t j = 0; j < std::size_t{1} << table.choice_bits; ++j) {
          for (std::size_t n = 0; n < some; ++n) pads.get()[n] = sums[n] ^ multiples[j];
          core.kernels->hash(core.start, own_tweak, pads.get().data(), pads.get().data(), some);
          if (table.has_numbers) {
            Word* const numbers = &numbers_[2 * (places_[table.index] * instances_ + at)];
            for (std::size_t n = 0; n < some; ++n) numbers[2 * n + j] = pads.get()[n].lo;
          } else {
            for (std::size_t n = 0; n < some; ++n) {
              const Word pad = pads.get()[n].lo;
              bits[n] = static_cast<NodeTable>(bits[n] |
                                               node_table((pad & 1U) << j, (pad >> 1U & 1U) << j));
            }
          }
        }
      });
}

ReceiverPads::ReceiverPads(const std::vector<Table>& tables, std::size_t instances)
    : tables_(tables), instances_(instances), bits_(tables.size() * instances) {
  Counted counted = count_of(tables);
  transfers_ = counted.transfers;
  places_ = std::move(counted.places);
  numbers_ = SecretArray<Word>(counted.numbers * instances);
}

void ReceiverPads::fill(const SessionCore& core, std::uint64_t tweak, std::size_t first,
                        std::size_t count, const Block* labels) {
  Secret<Hashed> pads;
  for_each_table(tables_, instances_, transfers_, tweak, first, count, labels,
                 [&](const Table& table, std::size_t at, std::size_t some, std::uint64_t own_tweak,
                     const Hashed& sums) {
                   core.kernels->hash(core.start, own_tweak, sums.data(), pads.get().data(), some);
                   for (std::size_t n = 0; n < some; ++n) {
                     const Block* const own =
                         labels + (at - first + n) * transfers_ + table.first_transfer;
                     Word choice = 0;
                     for (std::size_t i = 0; i < table.choice_bits; ++i)
                       choice |= (own[i].lo & 1U) << i;
                     const Word pad = pads.get()[n].lo;
                     bits_[table.index * instances_ + at + n] =
                         static_cast<std::uint8_t>((pad & 3U) | choice << 2U);
                     if (table.has_numbers)
                       numbers_[places_[table.index] * instances_ + at + n] = pad;
                   }
                 });
}

}  // namespace capc::gc

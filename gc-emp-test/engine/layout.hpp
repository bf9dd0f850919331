#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "circuit.hpp"
#include "kernels.hpp"
#include "program.hpp"
#include "wire_format.hpp"

namespace capc::gc {

constexpr std::size_t kMaxInstances = std::size_t{1} << 32;

/// A circuit ready to run: compiled once, then shared by sessions and batches.
struct CompiledCircuit {
  explicit CompiledCircuit(Circuit source)
      : circuit(std::move(source)), program(circuit), levelled(circuit, Order::ByLevels) {}
  /// What a block of so many instances runs.
  [[nodiscard]] const Program& program_of(std::size_t lanes) const {
    return lanes == 1 ? levelled : program;
  }
  [[nodiscard]] std::size_t slot_count() const {
    return std::max(program.slot_count(), levelled.slot_count());
  }
  Circuit circuit;
  Program program;
  Program levelled;
};
using CircuitPtr = std::shared_ptr<const CompiledCircuit>;

/// An input wire of one kind, in the order of that kind's words.
struct InputBit {
  std::uint32_t slot;
  std::uint32_t word;
  std::uint32_t bit;
};

/// Where everything stands in the messages of one batch.
///
/// Instances are garbled in blocks of kLanes side by side; a chunk is the whole blocks whose tables
/// fill about kChunkBytes, so that sending, garbling and evaluating overlap.
class BatchLayout {
 public:
  BatchLayout(const CompiledCircuit& compiled, std::size_t instances);

  [[nodiscard]] std::size_t instances() const { return instances_; }
  [[nodiscard]] std::size_t chunk_count() const { return chunks_; }
  [[nodiscard]] std::size_t chunk_first(std::size_t chunk) const { return chunk * per_chunk_; }
  [[nodiscard]] std::size_t chunk_instances(std::size_t chunk) const;

  /// Oblivious transfers of a chunk, and the bytes of its Choice message with header.
  [[nodiscard]] std::size_t chunk_transfers(std::size_t chunk) const {
    return chunk_instances(chunk) * evaluator_bits_.size();
  }
  [[nodiscard]] std::size_t choice_bytes(std::size_t chunk) const;
  /// Bytes of a block's tables and of a chunk's Tables message with header.
  [[nodiscard]] std::size_t block_bytes(std::size_t lanes) const;
  [[nodiscard]] std::size_t tables_bytes(std::size_t chunk) const;
  [[nodiscard]] std::size_t masked_bytes() const;
  /// Of one chunk's Labels message with header, and of all of them.
  [[nodiscard]] std::size_t labels_bytes(std::size_t chunk) const;
  [[nodiscard]] std::size_t labels_bytes() const;
  [[nodiscard]] std::size_t return_bytes() const;

  [[nodiscard]] const std::vector<InputBit>& evaluator_bits() const { return evaluator_bits_; }
  [[nodiscard]] const std::vector<InputBit>& online_bits() const { return online_bits_; }
  [[nodiscard]] const std::vector<InputBit>& fixed_bits() const { return fixed_bits_; }
  [[nodiscard]] std::size_t evaluator_out_bits() const { return evaluator_out_bits_; }
  [[nodiscard]] std::size_t garbler_out_bits() const { return garbler_out_bits_; }

  /// Tweaks that the batch uses; an even number.
  [[nodiscard]] std::uint64_t tweak_count() const;
  /// Where a block's tweaks begin, counted from the batch's first: for its gates, each gate 2
  /// `instances` further on and each lane 2; for one term, each lane 1 further on.
  [[nodiscard]] std::uint64_t gate_tweak(std::size_t block) const { return 2 * block * kLanes; }
  [[nodiscard]] std::uint64_t term_tweak(std::size_t term, std::size_t block) const {
    return term_tweaks() + term * instances_ + block * kLanes;
  }

 private:
  [[nodiscard]] std::uint64_t term_tweaks() const;

  const CompiledCircuit* compiled_;
  std::size_t instances_;
  std::size_t per_chunk_ = 0;
  std::size_t chunks_ = 0;
  std::size_t lane_bytes_ = 0;  // per instance in a block
  std::size_t evaluator_out_bits_ = 0;
  std::size_t garbler_out_bits_ = 0;
  std::vector<InputBit> evaluator_bits_;
  std::vector<InputBit> online_bits_;
  std::vector<InputBit> fixed_bits_;
};

/// Bytes of the row that corrects one term, and of the word that turns a sum into value - mask.
[[nodiscard]] constexpr std::size_t bytes_for_bits(std::size_t bits) { return (bits + 7) / 8; }

constexpr std::size_t kSeedBytes = 16;
constexpr std::size_t kChunkBytes = std::size_t{192} << 10U;

}  // namespace capc::gc

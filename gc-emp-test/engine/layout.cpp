#include "layout.hpp"

#include <algorithm>
#include <string>

#include "errors.hpp"
#include "ot_extension.hpp"

namespace capc::gc {

BatchLayout::BatchLayout(const CompiledCircuit& compiled, std::size_t instances)
    : compiled_(&compiled), instances_(instances) {
  const Circuit& circuit = compiled.circuit;
  if (instances < 1 || instances > kMaxInstances) {
    throw UsageError("a batch of " + std::to_string(instances) + " instances; allowed are 1 to " +
                     std::to_string(kMaxInstances));
  }
  std::uint32_t next[3] = {0, 0, 0};
  std::vector<InputBit>* const lists[3] = {&online_bits_, &fixed_bits_, &evaluator_bits_};
  for (const InputWord& word : circuit.inputs()) {
    const auto kind = static_cast<std::size_t>(word.kind);
    const std::uint32_t index = next[kind]++;
    for (std::uint32_t bit = 0; bit < word.wires.size(); ++bit) {
      lists[kind]->push_back({compiled.program.input_slots()[word.wires[bit]], index, bit});
    }
  }
  lane_bytes_ = kTableBytes * circuit.and_count();
  for (const OutputWord& word : circuit.outputs()) {
    for (const SharedTerm& term : word.terms) {
      lane_bytes_ += bytes_for_bits(std::size_t{word.bits} - term.shift);
    }
    if (word.kind == OutputKind::Shared) lane_bytes_ += bytes_for_bits(word.bits);
    const bool to_garbler = word.kind == OutputKind::Garbler || word.kind == OutputKind::Both;
    if (to_garbler) garbler_out_bits_ += word.bits;
    if (word.kind == OutputKind::Evaluator || word.kind == OutputKind::Both) {
      evaluator_out_bits_ += word.bits;
    }
  }
  const std::size_t blocks_per_chunk =
      std::max<std::size_t>(1, kChunkBytes / std::max<std::size_t>(1, block_bytes(kLanes)));
  per_chunk_ = std::min<std::size_t>(blocks_per_chunk, 4096) * kLanes;
  chunks_ = (instances_ + per_chunk_ - 1) / per_chunk_;
}

std::size_t BatchLayout::chunk_instances(std::size_t chunk) const {
  return std::min(per_chunk_, instances_ - chunk_first(chunk));
}

std::size_t BatchLayout::choice_bytes(std::size_t chunk) const {
  return kHeaderBytes + choice_body_bytes(chunk_transfers(chunk));
}

std::size_t BatchLayout::block_bytes(std::size_t lanes) const {
  return lanes * lane_bytes_ + 2 * evaluator_out_bits_;
}

std::size_t BatchLayout::tables_bytes(std::size_t chunk) const {
  const std::size_t count = chunk_instances(chunk);
  const std::size_t rest = count % kLanes;
  return kHeaderBytes + kSeedBytes + (count / kLanes) * block_bytes(kLanes) +
         (rest == 0 ? 0 : block_bytes(rest));
}

std::size_t BatchLayout::masked_bytes() const {
  return kHeaderBytes + bytes_for_bits(instances_ * evaluator_bits_.size());
}

std::size_t BatchLayout::labels_bytes(std::size_t chunk) const {
  return kHeaderBytes + 16 * chunk_instances(chunk) * online_bits_.size();
}

std::size_t BatchLayout::labels_bytes() const {
  return chunks_ * kHeaderBytes + 16 * instances_ * online_bits_.size();
}

std::size_t BatchLayout::return_bytes() const {
  return kHeaderBytes + sizeof(Block) * garbler_out_bits_ * instances_;
}

std::uint64_t BatchLayout::term_tweaks() const {
  return 2 * static_cast<std::uint64_t>(compiled_->circuit.and_count()) * instances_;
}

std::uint64_t BatchLayout::tweak_count() const {
  const std::uint64_t count =
      term_tweaks() + static_cast<std::uint64_t>(compiled_->circuit.term_count()) * instances_;
  return count + (count & 1U);
}

}  // namespace capc::gc

#include "merging_loops.hpp"
#include "residues.hpp"
#include "transform_loops.hpp"

namespace capc::gc {
namespace {

/// One residue.
struct Lane {
  static constexpr std::size_t kLanes = 1;
  static constexpr std::size_t kOwn = 1;

  static Lane all(std::uint64_t x) { return {x}; }
  static Lane load(const std::uint64_t* from) { return {*from}; }
  static Lane load(const std::uint64_t* from, std::size_t /*rest*/) { return load(from); }
  void store(std::uint64_t* to) const { *to = v; }
  void store(std::uint64_t* to, std::size_t /*rest*/) const { store(to); }

  friend Lane operator+(Lane x, Lane y) { return {x.v + y.v}; }
  friend Lane operator-(Lane x, Lane y) { return {x.v - y.v}; }
  friend Lane min(Lane x, Lane y) { return {x.v < y.v ? x.v : y.v}; }

  /// x w modulo p for any x, below 2 p.
  static Lane lazy_product(Lane x, const Factors<Lane>& w, Lane prime) {
    const auto quotient =
        static_cast<std::uint64_t>(static_cast<DoubleWord>(x.v) * w.quotient.v >> 64U);
    return {x.v * w.value.v - quotient * prime.v};
  }

  static void end_forward(const TransformView& /*transform*/, std::uint64_t* values,
                          std::size_t /*at*/, const Bounds<Lane>& bounds) {
    bounds.reduced(load(values)).store(values);
  }

  static void begin_inverse(const TransformView& /*transform*/, std::uint64_t* /*values*/,
                            std::size_t /*at*/, const Bounds<Lane>& /*bounds*/) {}

  static void pick(const std::uint64_t* from, const std::uint64_t* places, std::uint64_t* to) {
    for (std::size_t k = 0; k < kTurnedTogether; ++k) to[k] = from[places[k]];
  }

  std::uint64_t v;
};

void add_products_loop(const Terms& terms, std::size_t size, std::uint64_t* low,
                       std::uint64_t* high) {
  for (std::size_t k = 0; k < terms.count * terms.components; ++k) {
    const std::uint64_t* const x = terms.inputs[k % terms.count] + k / terms.count * terms.apart;
    const std::uint64_t* const w = terms.weights[k % terms.count];
    if (k == terms.count) {
      low += size;
      high += size;
    }
    for (std::size_t j = 0; j < size; ++j) {
      const DoubleWord sum =
          (static_cast<DoubleWord>(high[j]) << 64U | low[j]) + static_cast<DoubleWord>(x[j]) * w[j];
      low[j] = static_cast<std::uint64_t>(sum);
      high[j] = static_cast<std::uint64_t>(sum >> 64U);
    }
  }
}

}  // namespace

const ResidueLoops& portable_residue_loops() {
  static constexpr ResidueLoops kLoops{
      forward_loop<Lane>, inverse_loop<Lane>, reduce_loop<Lane>, add_products_loop,
      join_loop<Lane>,    add_loop<Lane>,     shift_loop<Lane>,  scale_difference_loop<Lane>};
  return kLoops;
}

}  // namespace capc::gc

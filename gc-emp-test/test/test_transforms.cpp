// Transforms on every path against polynomials evaluated and multiplied by the plain formulas.

#include "check.hpp"
#include "errors.hpp"
#include "paths.hpp"
#include "transforms.hpp"

namespace capc::gc::test {
namespace {

struct Case {
  std::size_t degree;
  std::uint64_t prime;
};

const std::vector<Case> kCases{{2, 5},          {4, 17},
                               {16, 97},        {32, 193},
                               {64, 12289},     {256, 1152921504606748673U},
                               {2048, 12289},   {4096, 1152921504606830593U},
                               {8192, 16515073}};

std::uint64_t multiply(std::uint64_t x, std::uint64_t y, std::uint64_t prime) {
  return static_cast<std::uint64_t>(static_cast<DoubleWord>(x) * y % prime);
}

/// Random residues, and some of the largest.
std::vector<std::uint64_t> polynomial(const Case& c) {
  std::vector<std::uint64_t> values = random_words(c.degree);
  for (auto& value : values) value = value % 5 == 0 ? c.prime - 1 : value % c.prime;
  return values;
}

std::size_t reversed(std::size_t number, std::size_t degree) {
  std::size_t result = 0;
  for (std::size_t bit = 1; bit < degree; bit *= 2, number /= 2) result = 2 * result + number % 2;
  return result;
}

/// Entry i is the value at r^(2 reversed(i) + 1), and r the transform of X.
void values_at_the_roots() {
  for (const Path path : supported_paths()) {
    for (const Case& c : kCases) {
      const Transform transform(c.degree, c.prime, path);
      std::vector<std::uint64_t> roots(c.degree);
      roots[1] = 1;
      transform.forward(roots.data());
      std::uint64_t root = roots[0];
      CHECK(roots.size() == c.degree);
      const std::uint64_t square = multiply(root, root, c.prime);
      for (std::size_t k = 0; k < c.degree; ++k, root = multiply(root, square, c.prime)) {
        CHECK(roots[reversed(k, c.degree)] == root);
        CHECK(root >= roots[0]);  // the least of the primitive roots
      }
      const auto coefficients = polynomial(c);
      auto transformed = coefficients;
      transform.forward(transformed.data());
      for (std::size_t k = 0; k < c.degree; k += c.degree / 64 + 1) {
        std::uint64_t value = 0;
        for (std::size_t j = c.degree; j-- > 0;) {
          value = (multiply(value, roots[k], c.prime) + coefficients[j]) % c.prime;
        }
        CHECK(transformed[k] == value);
      }
      transform.inverse(transformed.data());
      CHECK(transformed == coefficients);
    }
  }
}

void products() {
  for (const Path path : supported_paths()) {
    for (const Case& c : kCases) {
      if (c.degree > 256) continue;
      const Transform transform(c.degree, c.prime, path);
      auto x = polynomial(c);
      auto y = polynomial(c);
      std::vector<std::uint64_t> product(c.degree);
      for (std::size_t i = 0; i < c.degree; ++i) {
        for (std::size_t j = 0; j < c.degree; ++j) {
          const std::uint64_t term = multiply(x[i], y[j], c.prime);
          auto& sum = product[(i + j) % c.degree];  // X^degree = -1
          sum = (sum + (i + j < c.degree ? term : c.prime - term)) % c.prime;
        }
      }
      transform.forward(x.data());
      transform.forward(y.data());
      for (std::size_t i = 0; i < c.degree; ++i) x[i] = multiply(x[i], y[i], c.prime);
      transform.inverse(x.data());
      CHECK(x == product);
    }
  }
}

/// The largest residues, all alike or alternating, whose butterflies come closest to the bounds.
void extremes() {
  const Case c{4096, 1152921504606830593U};
  const Transform portable(c.degree, c.prime, Path::Portable);
  for (const Path path : supported_paths()) {
    const Transform transform(c.degree, c.prime, path);
    for (const std::size_t period : {1U, 2U, 8U, 64U}) {
      std::vector<std::uint64_t> values(c.degree);
      for (std::size_t k = 0; k < c.degree; ++k) values[k] = k / period % 2 == 0 ? c.prime - 1 : 0;
      auto forward = values;
      auto inverse = values;
      auto expected = values;
      transform.forward(forward.data());
      portable.forward(expected.data());
      CHECK(forward == expected);
      portable.inverse(values.data());
      transform.inverse(inverse.data());
      CHECK(inverse == values);
      for (const std::uint64_t value : forward) CHECK(value < c.prime);
    }
  }
}

void refusals() {
  for (const std::size_t degree : {0U, 1U, 24U}) CHECK_THROWS(UsageError, Transform(degree, 97));
  for (const std::uint64_t prime : {0U, 2U, 13U, 96U}) {
    CHECK_THROWS(UsageError, Transform(16, prime));
  }
  CHECK_THROWS(UsageError, Transform(16, 33));  // 1 modulo 32, but no prime
  CHECK_THROWS(UsageError, Transform(16, (std::uint64_t{1} << kMaxTransformBits) + 1));
}

}  // namespace
}  // namespace capc::gc::test

int main() {
  return capc::gc::test::run_tests([] {
    capc::gc::test::values_at_the_roots();
    capc::gc::test::products();
    capc::gc::test::extremes();
    capc::gc::test::refusals();
  });
}

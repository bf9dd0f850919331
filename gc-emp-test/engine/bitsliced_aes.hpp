#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "aes_field.hpp"
#include "block.hpp"

// AES-128 on sixteen blocks at once, one bit of each byte in a plane, without table look-ups: its
// time does not depend on labels or keys.
namespace capc::gc::bitsliced {

constexpr std::size_t kBlocks = 16;

/// Sixteen bits for each of the four rows of a column of the state; one element per column.
using Plane = std::uint64_t __attribute__((vector_size(32)));
template <class T>
using Planes = std::array<T, 8>;

template <class T>
using Nibble = std::array<T, 4>;

/// Product in GF(2^4) = GF(2)[z] / (z^4 + z + 1).
template <class T>
[[nodiscard]] inline Nibble<T> multiply(const Nibble<T>& a, const Nibble<T>& b) {
  const T c4 = (a[1] & b[3]) ^ (a[2] & b[2]) ^ (a[3] & b[1]);
  const T c5 = (a[2] & b[3]) ^ (a[3] & b[2]);
  const T c6 = a[3] & b[3];
  return {(a[0] & b[0]) ^ c4, (a[0] & b[1]) ^ (a[1] & b[0]) ^ c4 ^ c5,
          (a[0] & b[2]) ^ (a[1] & b[1]) ^ (a[2] & b[0]) ^ c5 ^ c6,
          (a[0] & b[3]) ^ (a[1] & b[2]) ^ (a[2] & b[1]) ^ (a[3] & b[0]) ^ c6};
}

template <class T>
[[nodiscard]] inline Nibble<T> square(const Nibble<T>& a) {
  return {a[0] ^ a[2], a[2], a[1] ^ a[3], a[3]};
}

template <class T>
[[nodiscard]] inline Nibble<T> add(const Nibble<T>& a, const Nibble<T>& b) {
  return {a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]};
}

template <class T>
[[nodiscard]] inline Nibble<T> times_z(const Nibble<T>& a) {
  return {a[3], a[0] ^ a[3], a[1], a[2]};
}

template <const field::Map& kMap, class T>
[[nodiscard]] inline Planes<T> apply(const Planes<T>& in) {
  Planes<T> out{};
  const auto all = [&]<std::size_t... kBit>(std::index_sequence<kBit...>) {
    const auto column = [&]<std::size_t kIn>(std::integral_constant<std::size_t, kIn>) {
      ((((kMap[kIn] >> kBit) & 1) != 0 ? void(out[kBit] ^= in[kIn]) : void()), ...);
    };
    (column(std::integral_constant<std::size_t, kBit>{}), ...);
  };
  all(std::make_index_sequence<8>{});
  return out;
}

template <class T>
[[nodiscard]] inline Planes<T> sub_bytes(const Planes<T>& in) {
  const Planes<T> x = apply<field::kToTower>(in);
  const Nibble<T> low{x[0], x[1], x[2], x[3]};
  const Nibble<T> high{x[4], x[5], x[6], x[7]};
  // (low + high y)^-1 = (low + high + high y) / (low^2 + low high + high^2 z^e)
  const Nibble<T> sum = add(low, high);
  Nibble<T> scaled = square(high);
  for (unsigned i = 0; i < field::kExtension.exponent; ++i) scaled = times_z(scaled);
  const Nibble<T> norm = add(multiply(low, sum), scaled);
  const Nibble<T> norm_2 = square(norm);
  const Nibble<T> norm_4 = square(norm_2);
  const Nibble<T> inverse = multiply(multiply(norm_2, norm_4), square(norm_4));
  const Nibble<T> new_low = multiply(inverse, sum);
  const Nibble<T> new_high = multiply(inverse, high);
  Planes<T> out =
      apply<field::kFromTowerAffine>(Planes<T>{new_low[0], new_low[1], new_low[2], new_low[3],
                                               new_high[0], new_high[1], new_high[2], new_high[3]});
  for (const std::size_t bit : {0U, 1U, 5U, 6U}) out[bit] = ~out[bit];
  return out;
}

using State = Planes<Plane>;

constexpr std::uint64_t kRow[4] = {0x000000000000ffff, 0x00000000ffff0000, 0x0000ffff00000000,
                                   0xffff000000000000};

/// Column c of the result is column c + by of the argument.
template <int by>
[[nodiscard]] inline Plane rotate_columns(const Plane& x) {
#if defined(__clang__)
  return __builtin_shufflevector(x, x, by % 4, (1 + by) % 4, (2 + by) % 4, (3 + by) % 4);
#else
  return __builtin_shuffle(x, Plane{by % 4, (1 + by) % 4, (2 + by) % 4, (3 + by) % 4});
#endif
}

[[nodiscard]] inline State shift_rows(const State& in) {
  State out{};
  for (std::size_t i = 0; i < 8; ++i) {
    const Plane one = rotate_columns<1>(in[i]);
    const Plane two = rotate_columns<2>(in[i]);
    const Plane three = rotate_columns<3>(in[i]);
    out[i] = (in[i] & kRow[0]) | (one & kRow[1]) | (two & kRow[2]) | (three & kRow[3]);
  }
  return out;
}

/// Row r of the result is row r + 1 (of `rows` = 1) of the argument.
[[nodiscard]] inline Plane rotate_rows(const Plane& x, int rows) {
  return (x >> (16 * rows)) | (x << (64 - 16 * rows));
}

[[nodiscard]] inline State mix_columns(const State& in) {
  State pair{};
  for (std::size_t i = 0; i < 8; ++i) pair[i] = in[i] ^ rotate_rows(in[i], 1);
  State out{};
  for (std::size_t i = 0; i < 8; ++i) {
    Plane doubled = pair[(i + 7) % 8];
    if (i == 1 || i == 3 || i == 4) doubled ^= pair[7];
    out[i] = doubled ^ rotate_rows(in[i], 1) ^ rotate_rows(pair[i], 2);
  }
  return out;
}

inline void next_key(State& key, std::uint8_t constant) {
  Planes<std::uint64_t> word{};
  for (std::size_t i = 0; i < 8; ++i) word[i] = (key[i][3] >> 16) | (key[i][3] << 48);
  word = sub_bytes(word);
  for (std::size_t i = 0; i < 8; ++i) {
    if (((constant >> i) & 1) != 0) word[i] ^= kRow[0];
    for (int column = 0; column < 4; ++column) {
      word[i] ^= key[i][column];
      key[i][column] = word[i];
    }
  }
}

inline void add_key(State& state, const State& key) {
  for (std::size_t i = 0; i < 8; ++i) state[i] ^= key[i];
}

/// An 8 x 8 bit matrix, byte r being row r.
[[nodiscard]] inline std::uint64_t transpose_bytes(std::uint64_t x) {
  std::uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aa;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000cccc;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0;
  return x ^ t ^ (t << 28);
}

[[nodiscard]] inline std::uint64_t byte_of(const Block& b, std::size_t i) {
  return ((i < 8 ? b.lo : b.hi) >> (8 * (i % 8))) & 0xff;
}

[[nodiscard]] inline State pack(const Block* blocks) {
  State state{};
  for (std::size_t byte = 0; byte < 16; ++byte) {
    for (std::size_t half = 0; half < 2; ++half) {
      std::uint64_t matrix = 0;
      for (std::size_t j = 0; j < 8; ++j) matrix |= byte_of(blocks[8 * half + j], byte) << (8 * j);
      matrix = transpose_bytes(matrix);
      for (std::size_t i = 0; i < 8; ++i) {
        state[i][static_cast<int>(byte / 4)] |= ((matrix >> (8 * i)) & 0xff)
                                                << (16 * (byte % 4) + 8 * half);
      }
    }
  }
  return state;
}

inline void unpack(const State& state, Block* blocks) {
  for (std::size_t j = 0; j < kBlocks; ++j) blocks[j] = {};
  for (std::size_t byte = 0; byte < 16; ++byte) {
    for (std::size_t half = 0; half < 2; ++half) {
      std::uint64_t matrix = 0;
      for (std::size_t i = 0; i < 8; ++i) {
        const std::uint64_t plane = state[i][static_cast<int>(byte / 4)];
        matrix |= ((plane >> (16 * (byte % 4) + 8 * half)) & 0xff) << (8 * i);
      }
      matrix = transpose_bytes(matrix);
      for (std::size_t j = 0; j < 8; ++j) {
        const std::uint64_t value = ((matrix >> (8 * j)) & 0xff) << (8 * (byte % 8));
        (byte < 8 ? blocks[8 * half + j].lo : blocks[8 * half + j].hi) |= value;
      }
    }
  }
}

constexpr std::uint8_t kRoundConstants[10] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                              0x20, 0x40, 0x80, 0x1b, 0x36};

/// out[j][i] = AES_{keys[i]}(in[j][i]) for kTexts texts under each of sixteen keys.
template <std::size_t kTexts>
inline void encrypt(const Block* keys, const std::array<const Block*, kTexts>& in,
                    const std::array<Block*, kTexts>& out) {
  State key = pack(keys);
  std::array<State, kTexts> text;
  for (std::size_t j = 0; j < kTexts; ++j) {
    text[j] = pack(in[j]);
    add_key(text[j], key);
  }
  for (std::size_t round = 0; round < 10; ++round) {
    next_key(key, kRoundConstants[round]);
    for (State& state : text) {
      state = shift_rows(sub_bytes(state));
      if (round < 9) state = mix_columns(state);
      add_key(state, key);
    }
  }
  for (std::size_t j = 0; j < kTexts; ++j) unpack(text[j], out[j]);
}

}  // namespace capc::gc::bitsliced

#pragma once

#include <openssl/rand.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace capc::gc {

/// Zeros in place of `count` bytes, as fast as memset, even where nothing reads them again.
inline void wipe(void* bytes, std::size_t count) {
  std::memset(bytes, 0, count);
  asm volatile("" : : "r"(bytes) : "memory");  // as if it did
}

/// `Huge`: of 2 MiB where the kernel has them, for arrays of some MiB that are read all over. A
/// processor finds few of the usual pages without a look into its tables.
enum class Pages : std::uint8_t { Usual, Huge };

/// An array of labels, seeds or choice bits: 64-byte aligned, zero at first, erased at the end.
template <class T>
class SecretArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SecretArray() = default;
  explicit SecretArray(std::size_t count, Pages pages = Pages::Usual)
      : size_(count), alignment_(pages == Pages::Huge ? kHugePage : kAlignment) {
    if (count > 0) {
      data_ = static_cast<T*>(pages == Pages::Huge ? huge_pages(count * sizeof(T))
                                                   : ::operator new(count * sizeof(T), alignment_));
      for (std::size_t i = 0; i < count; ++i) new (data_ + i) T{};
    }
  }
  SecretArray(SecretArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        alignment_(other.alignment_) {}
  SecretArray& operator=(SecretArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(alignment_, other.alignment_);
    return *this;
  }
  SecretArray(const SecretArray&) = delete;
  SecretArray& operator=(const SecretArray&) = delete;
  ~SecretArray() {
    if (data_ != nullptr) {
      wipe(data_, size_ * sizeof(T));
      ::operator delete(data_, alignment_);
    }
  }

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) { return data_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return data_[i]; }
  [[nodiscard]] T* begin() { return data_; }
  [[nodiscard]] T* end() { return data_ + size_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  static constexpr std::align_val_t kHugePage{std::size_t{1} << 21U};

  /// Whole pages, none of which holds anything else.
  [[nodiscard]] static void* huge_pages(std::size_t bytes) {
    constexpr auto kPage = static_cast<std::size_t>(kHugePage);
    const std::size_t whole = (bytes + kPage - 1) / kPage * kPage;
    void* const memory = ::operator new(whole, kHugePage);
#ifdef MADV_HUGEPAGE
    static_cast<void>(madvise(memory, whole, MADV_HUGEPAGE));  // the usual ones do as well
#endif
    return memory;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::align_val_t alignment_ = kAlignment;
};

/// A value that is erased when it goes.
template <class T>
class Secret {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(&value_, sizeof value_); }
  [[nodiscard]] T& get() { return value_; }
  [[nodiscard]] const T& get() const { return value_; }

 private:
  T value_{};
};

/// Fill from OpenSSL's generator, which the operating system seeds.
inline void random_bytes(void* out, std::size_t count) {
  if (RAND_priv_bytes(static_cast<unsigned char*>(out), static_cast<int>(count)) != 1) {
    throw std::runtime_error("the system's random generator failed");
  }
}

template <class T>
[[nodiscard]] T random_value() {
  T value;
  random_bytes(&value, sizeof value);
  return value;
}

}  // namespace capc::gc

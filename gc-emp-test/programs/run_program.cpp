#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "back_end.hpp"
#include "failures.hpp"
#include "frames.hpp"
#include "modes.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define CAPC_GC_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define CAPC_GC_SANITIZED
#endif
#endif

namespace capc::gc::programs {
namespace {

enum Status : int { kDone = 0, kFailed = 1, kWrongUse = 2, kAbandoned = 3 };

/// No core file, and no other process of this user that reads our memory.
void keep_memory_private() {
  const rlimit none{0, 0};
  static_cast<void>(::setrlimit(RLIMIT_CORE, &none));
#if defined(__linux__) && !defined(CAPC_GC_SANITIZED)
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
#endif
}

std::string one_line(std::string text) {
  for (char& character : text) {
    if (static_cast<unsigned char>(character) < 0x20) character = ' ';
  }
  return text;
}

int fail(ProgramKind kind, bool is_session, const std::exception& error, int status) {
  const std::string line = one_line(error.what());
  std::fprintf(stderr, "%s: error: %s\n", program_name(kind).c_str(), line.c_str());
  if (is_session) {
    try {
      write_error(1, line);
    } catch (const std::exception&) {
      // Nobody reads our answers any more; the status still says that we failed.
    }
  }
  return status;
}

void perform(ProgramKind kind, const Arguments& arguments) {
  switch (arguments.request) {
    case Request::Help:
      std::fputs(help_text(kind).c_str(), stdout);
      return;
    case Request::Version:
      std::printf("%s, protocol %d, back end %s\n", program_name(kind).c_str(), kFrameVersion,
                  back_end_name().c_str());
      return;
    case Request::Run:
      break;
  }
  keep_memory_private();
  std::signal(SIGPIPE, SIG_IGN);
  if (arguments.mode == Mode::Session) {
    run_session(kind, arguments);
  } else {
    run_with_files(kind, arguments);
  }
}

}  // namespace

int run_program(ProgramKind kind, int argc, const char* const* argv) {
  bool is_session = false;
  try {
    const std::vector<std::string> words(argv + 1, argv + std::max(argc, 1));
    const Arguments arguments = parse_arguments(kind, words);
    is_session = arguments.mode == Mode::Session && arguments.request == Request::Run;
    perform(kind, arguments);
    return kDone;
  } catch (const OwnerGone&) {
    return kAbandoned;
  } catch (const UsageError& error) {
    return fail(kind, is_session, error, kWrongUse);
  } catch (const std::exception& error) {
    return fail(kind, is_session, error, kFailed);
  }
}

}  // namespace capc::gc::programs

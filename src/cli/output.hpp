// Standard output and standard error of a command: what is printed goes through here, `tail` excepted (line_pipe.hpp).
//
// Owns: buffering, and what a failed write means. A reader that has gone ends the command quietly; any other failure is
// said once and makes the exit code 1. Nothing here throws. Refuses to know: what is printed.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace recordkv::cli {

/// To be called before anything is opened. A standard stream that is closed is replaced by one that refuses: else a
/// socket would get its number, and the answer with it. A gone reader becomes an error of write() instead of a signal.
void guard_standard_streams();

void write_text(std::string_view text);
void write_error_text(std::string_view text);

/// To standard output.
template <class... Args>
void write_out(fmt::format_string<Args...> form, Args&&... args) {
  write_text(fmt::format(form, std::forward<Args>(args)...));
}

/// To standard error, behind what standard output has taken so far.
template <class... Args>
void write_error(fmt::format_string<Args...> form, Args&&... args) {
  write_error_text(fmt::format(form, std::forward<Args>(args)...));
}

/// Hands on what is buffered. False once standard output takes nothing more: whoever has much to print stops there.
bool flush_output();

/// The last call of a command that ends with `code`: flushes, says what could not be written, and returns the exit
/// code.
int exit_code_after_output(int code);

}  // namespace recordkv::cli

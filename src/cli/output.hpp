// Standard output and standard error of a command. Everything printed goes through here, except by `tail`
// (line_pipe.hpp).
//
// Owns: buffering, and what a failed write means. If the reader has gone, the command ends quietly. Any other failure
// is reported once and makes the exit code 1. Nothing here throws.
// Does not know: what is printed.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace recordkv::cli {

/// To be called before anything is opened. A closed standard stream is replaced by one that refuses: otherwise a
/// socket would get its number, and with it the output. A reader that has gone becomes an error of write() instead of
/// a signal.
void guard_standard_streams();

void write_text(std::string_view text);
void write_error_text(std::string_view text);

/// To standard output.
template <class... Args>
void write_out(fmt::format_string<Args...> form, Args&&... args) {
  write_text(fmt::format(form, std::forward<Args>(args)...));
}

/// To standard error, after what standard output has taken so far.
template <class... Args>
void write_error(fmt::format_string<Args...> form, Args&&... args) {
  write_error_text(fmt::format(form, std::forward<Args>(args)...));
}

/// In this colour if standard output is a terminal. `colour`: a number of ECMA-48, "31" for red.
std::string marked(std::string_view colour, std::string s);

/// Flushes the buffer. False once standard output takes nothing more: a command that prints much stops there.
bool flush_output();

/// The last call of a command that ends with `code`: flushes, reports what could not be written, and returns the exit
/// code.
int exit_code_after_output(int code);

}  // namespace recordkv::cli

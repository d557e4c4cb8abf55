// The Retry-After header of an HTTP answer.
//
// Owns: its two forms. Does not know: what is tried again.
// Source: RFC 9110 §10.2.3.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace recordkv::http {

/// How long the other side wants to be left alone: 0 to `at_most`. nullopt: the text is empty or unreadable.
std::optional<std::chrono::seconds> retry_after(std::string_view value, std::chrono::seconds at_most);

}  // namespace recordkv::http

// The files that scripts/embed.py has compiled in.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace recordkv::shipped {

struct file {
  std::string_view name;  ///< without its folder: "likes.toml"
  std::string_view text;
};

std::span<const file> all_files() noexcept;

}  // namespace recordkv::shipped

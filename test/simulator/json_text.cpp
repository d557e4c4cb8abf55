#include "json_text.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <iterator>

namespace recordkv::sim {

void append_quoted(std::string& json, std::string_view utf8) {
  json += '"';
  std::size_t done = 0;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    json.append(utf8, done, i - done);
    done = i + 1;
    if (c == '\n')
      json += "\\n";
    else if (c >= 0x20)
      json.append({'\\', static_cast<char>(c)});
    else
      fmt::format_to(std::back_inserter(json), "\\u{:04x}", c);
  }
  json.append(utf8, done);
  json += '"';
}

void append_bytes_object(std::string& json, std::string_view octets) {
  std::string encoded((octets.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                      reinterpret_cast<const unsigned char*>(octets.data()), static_cast<int>(octets.size()));
  encoded.resize(static_cast<std::size_t>(size));
  while (encoded.ends_with('=')) encoded.pop_back();
  json.append(R"({"$bytes":")").append(encoded).append(R"("})");
}

void append_link_object(std::string& json, const cid& target) {
  json += R"({"$link":")";
  target.append_text(json);
  json += R"("})";
}

}  // namespace recordkv::sim

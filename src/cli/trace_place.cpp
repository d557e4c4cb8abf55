#include "trace_place.hpp"

#include "account_text.hpp"
#include "commands.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace recordkv::cli {
namespace {

std::string found_text(const trace_place& p) {
  auto found = p.found == 0 ? "nothing" : fmt::format("{} {}, such as {}", p.found, p.what, p.example);
  if (!p.unread) return found;
  return fmt::format("{}CAN'T BE READ: {}", p.found == 0 ? "" : found + "; then it ", p.unread->text);
}

std::string named(std::vector<std::string> places) {
  places.erase(std::ranges::unique(places).begin(), places.end());
  return fmt::format("{}", fmt::join(places, ", "));
}

}  // namespace

std::string place_line(const trace_place& p) {
  auto out = fmt::format("{:<8} {:<24} {}", p.kind, p.where, found_text(p));
  if (!p.note.empty()) out += fmt::format(" ({})", p.note);
  return on_one_line(out);
}

boost::json::object place_report(const trace_place& p) {
  boost::json::object o;
  o["place"] = p.kind;
  o["where"] = p.where;
  o["read"] = !p.unread;
  if (p.unread) o["error"] = p.unread->text;
  if (!p.unread || p.found > 0) o["found"] = p.found;
  if (!p.example.empty()) o["example"] = p.example;
  if (!p.note.empty()) o["note"] = p.note;
  if (!p.remedy.empty()) o["remedy"] = p.remedy;
  return o;
}

int traces_code(const std::vector<trace_place>& all) {
  if (std::ranges::any_of(all, [](const auto& p) { return p.found > 0; })) return no;
  return std::ranges::any_of(all, [](const auto& p) { return p.unread.has_value(); }) ? unreachable : done;
}

std::string traces_verdict(const std::vector<trace_place>& all, std::string_view did) {
  std::string out;
  std::vector<std::string> unread;
  std::vector<std::string> told;
  for (const auto& p : all) {
    if (p.unread) unread.push_back(p.kind);
    if (p.found == 0 || std::ranges::find(told, p.remedy) != told.end()) continue;
    told.push_back(p.remedy);
    out += fmt::format("recordkv: {} {}: {}\n", p.kind, p.where, p.remedy);
  }
  if (!unread.empty())
    out += fmt::format(
        "recordkv: not everything could be read ({}): it is not known whether anything of {} is left "
        "there\n",
        named(std::move(unread)), did);
  if (out.empty()) out = fmt::format("recordkv: no content of {} is left\n", did);
  return out;
}

}  // namespace recordkv::cli

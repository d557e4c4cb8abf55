#include "pds_answer.hpp"

#include "recordkv/core/foreign_text.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/http/retry_after.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <array>
#include <ctime>

namespace recordkv::xrpc {
namespace {

using failure = pds_client::failure;
using std::chrono::seconds;

constexpr seconds max_pause{3600}, usual_pause{10};
constexpr std::size_t max_error_body = 64 << 10, max_shown = 200, max_field = 64, rev_size = 13;

struct named_error {
  std::string_view name;
  errc code;
  std::string_view word, outcome, status;
};
constexpr std::array named_errors{
    named_error{"RepoNotFound", errc::not_found, "repo_not_found", "not_found", ""},
    named_error{"RepoTakendown", errc::refused, "repo_takendown", "refused", "takendown"},
    named_error{"RepoSuspended", errc::refused, "repo_suspended", "refused", "suspended"},
    named_error{"RepoDeactivated", errc::refused, "repo_deactivated", "refused", "deactivated"},
    named_error{"RepoInactive", errc::refused, "repo_inactive", "refused", "inactive"},
    named_error{"RepoDeleted", errc::refused, "repo_deleted", "refused", ""},
};

/// {error, message}; both are empty if the body is anything else.
struct xrpc_error {
  std::string name, message;
};

xrpc_error read_xrpc_error(std::string_view body) {
  if (body.size() > max_error_body) return {};
  boost::system::error_code ec;
  const auto value = boost::json::parse(body, ec);
  const auto* object = ec ? nullptr : value.if_object();
  if (object == nullptr) return {};
  return {std::string(text_field(*object, "error")), std::string(text_field(*object, "message"))};
}

// Letters and digits alone, as in the text of a CID and in a TID.
bool is_plain(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

seconds until_reset(std::string_view header) {
  const auto at = parse_number<std::int64_t>(header);
  const std::int64_t now = std::time(nullptr);
  if (!at || *at <= now) return usual_pause;  // also a clock that is wrong
  return std::min(max_pause, seconds(*at - now));
}

seconds pause_asked_for(const http::answer& said) {
  if (said.status != 429 && said.status != 503) return seconds(0);
  if (const auto asked = http::retry_after(said.retry_after, max_pause)) return *asked;
  return said.status == 429 ? until_reset(said.rate_limit_reset) : seconds(0);
}

judgement of_request(const std::string& asked, const error& e) {
  const auto as = [&](errc code, std::string_view word) {
    return judgement{word, failure{code, word, asked + ": " + printable(e.text, 2 * max_shown)}};
  };
  switch (e.code) {
    case errc::malformed: return forbidden(asked, e.text);
    case errc::too_large: return as(errc::too_large, "too_large");
    case errc::full: return as(errc::full, "no_memory");
    case errc::timed_out: return as(errc::timed_out, "timed_out");
    case errc::closed: return as(errc::closed, "closed");
    default: return as(errc::unreachable, "unreachable");
  }
}

judgement of_status(const std::string& asked, const http::answer& said) {
  const auto named = said.status >= 400 ? read_xrpc_error(said.body) : xrpc_error{};
  std::string text = fmt::format("{}: answered HTTP {}", asked, said.status);
  if (!named.name.empty()) text += ": " + printable(named.name + ": " + named.message, max_shown);
  const auto pause = pause_asked_for(said);
  const auto known = std::ranges::find(named_errors, std::string_view(named.name), &named_error::name);
  if (known != named_errors.end()) return {known->outcome, {known->code, known->word, std::move(text), pause}};
  if (said.status == 429) return {"rate_limited", {errc::full, "rate_limited", std::move(text), pause}};
  return {"status", {errc::unavailable, "status", std::move(text), pause}};
}

}  // namespace

std::string_view status_of_refusal(std::string_view word) noexcept {
  const auto known = std::ranges::find(named_errors, word, &named_error::word);
  return known == named_errors.end() ? std::string_view() : known->status;
}

judgement forbidden(const std::string& asked, std::string_view why) {
  return {"forbidden", {errc::malformed, "pds", asked + ": " + printable(why, 2 * max_shown)}};
}

std::optional<judgement> failure_in(const std::string& asked, const result<http::answer>& said) {
  if (!said) return of_request(asked, said.error());
  if (said->status == 200) return {};
  return of_status(asked, *said);
}

std::optional<repo_status> read_repo_status(std::string_view body) {
  boost::system::error_code ec;
  const auto value = boost::json::parse(body, ec);
  const auto* object = ec ? nullptr : value.if_object();
  const auto* active = object != nullptr ? object->if_contains("active") : nullptr;
  if (active == nullptr || !active->is_bool()) return {};
  return repo_status{.active = active->get_bool(),
                     .status = printable(text_field(*object, "status"), max_field),
                     .rev = printable(text_field(*object, "rev"), max_field)};
}

std::optional<latest_commit> read_latest_commit(std::string_view body) {
  boost::system::error_code ec;
  const auto value = boost::json::parse(body, ec);
  const auto* object = ec ? nullptr : value.if_object();
  if (object == nullptr) return {};
  const auto cid = text_field(*object, "cid"), rev = text_field(*object, "rev");
  if (!is_plain(cid, max_field) || !is_plain(rev, rev_size) || rev.size() != rev_size) return {};
  return latest_commit{.cid = std::string(cid), .rev = std::string(rev)};
}

}  // namespace recordkv::xrpc

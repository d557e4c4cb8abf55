#include "reading.hpp"

#include "recordkv/http/retry_after.hpp"

namespace recordkv::identity {
namespace {

constexpr std::chrono::seconds longest_pause{60};

reading answered(std::string_view outcome, result<account_identity> what) {
  return {.outcome = outcome, .answer = std::move(what)};
}

reading failed(std::string_view outcome, error why) { return {.outcome = outcome, .failure = std::move(why)}; }

reading read_failure(const error& e, bool directory) {
  const std::string_view outcome = e.code == errc::malformed   ? "forbidden"
                                   : e.code == errc::too_large ? "too_large"
                                   : e.code == errc::timed_out ? "timed_out"
                                                               : "unreachable";
  const bool final = e.code == errc::malformed || e.code == errc::too_large;
  if (final && !directory) return answered(outcome, fail(errc::malformed, "{}", e.text));
  return failed(outcome, {e.code == errc::timed_out ? errc::timed_out : errc::unreachable, e.text});
}

reading read_document(std::string_view did, std::string_view body, bool directory, bool allow_http) {
  auto identity = read_did_document(did, body, allow_http);
  if (identity) return answered("found", std::move(identity));
  const bool has_no_key = identity.error().text == "no_key";
  error why = fail(errc::malformed, "the document of {} is unusable: {}", did, identity.error().text);
  if (directory && !has_no_key) return failed("garbage", {errc::unreachable, std::move(why.text)});
  return answered("unusable", std::move(why));
}

}  // namespace

reading read_answer(std::string_view did, const result<http::answer>& said, bool directory, bool allow_http) {
  if (!said) return read_failure(said.error(), directory);
  if (said->status == 200) return read_document(did, said->body, directory, allow_http);
  if (said->status == 404) return answered("not_found", fail(errc::not_found, "{} does not exist", did));
  if (said->status == 410) return answered("not_found", fail(errc::not_found, "{} is a tombstone", did));
  const bool too_many = said->status == 429;
  auto out = failed(too_many ? "rate_limited" : "status", fail(errc::unreachable, "answered HTTP {}{}", said->status,
                                                               too_many ? " (too many requests)" : ""));
  if (too_many || said->status == 503) out.stay_away = http::retry_after(said->retry_after, longest_pause);
  return out;
}

}  // namespace recordkv::identity

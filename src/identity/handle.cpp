#include "recordkv/identity/handle.hpp"

#include "did_web.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/http/client.hpp"
#include "text_records.hpp"

#include <algorithm>
#include <optional>

namespace recordkv::identity {
namespace {

constexpr std::size_t max_body = 2048;
constexpr int max_redirects = 3;
constexpr std::string_view well_known = "/.well-known/atproto-did";

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return text;
}

// A DNS message, read from its beginning. Once a read has failed, every later one fails, too.
class message {
 public:
  explicit message(std::string_view bytes) : bytes_(bytes) {}

  std::string_view take(std::size_t n) {
    if (bytes_.size() < n) {
      broken_ = true;
      bytes_ = {};
      return {};
    }
    const auto out = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return out;
  }
  unsigned byte() {
    const auto b = take(1);
    return b.empty() ? 0 : static_cast<unsigned char>(b[0]);
  }
  unsigned number() {
    const unsigned high = byte();
    return high << 8U | byte();
  }
  // A compressed name ends with its pointer. What the pointer names is not needed.
  void skip_name() {
    constexpr unsigned pointer = 0xC0, plain_label = 0x3F;
    for (unsigned length = byte(); length != 0 && !broken_; length = byte()) {
      if (length >= pointer) {
        take(1);
        return;
      }
      if (length > plain_label) broken_ = true;
      take(length);
    }
  }
  bool broken() const noexcept { return broken_; }
  bool empty() const noexcept { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool broken_ = false;
};

// The pieces of a text record belong together. nullopt: they do not fit into it.
std::optional<std::string> text_of(std::string_view data) {
  std::string out;
  message pieces(data);
  while (!pieces.empty()) out += pieces.take(pieces.byte());
  if (pieces.broken()) return {};
  return out;
}

/// The DID of one text record; "" if the record is about something else.
result<std::string> did_of_record(std::string_view data) {
  constexpr std::string_view prefix = "did=";
  const auto text = text_of(data);
  if (!text) return fail(errc::malformed, "a text record is torn");
  if (!text->starts_with(prefix)) return std::string();
  auto did = text->substr(prefix.size());
  if (!atproto::is_did(did)) return fail(errc::malformed, "the text record \"did=…\" holds no DID");
  return did;
}

error torn() { return fail(errc::malformed, "the DNS answer is torn"); }

}  // namespace

result<http::url> handle_url(std::string_view handle) {
  if (!atproto::is_handle(handle)) return fail(errc::malformed, "no handle");
  auto out = document_url("did:web:" + lower_case(std::string(handle)), false);  // the rule for hosts is the same
  if (!out) return fail(errc::malformed, "no public host has the ending {}", handle.substr(handle.rfind('.')));
  out->target = well_known;
  return out;
}

result<std::string> did_in_body(std::string_view body) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = body.find_first_not_of(space);
  if (first == body.npos) return fail(errc::malformed, "the answer is empty");
  body = body.substr(first, body.find_last_not_of(space) - first + 1);
  if (!atproto::is_did(body)) return fail(errc::malformed, "the answer is no DID");
  return std::string(body);
}

// Each record takes at least eleven bytes of the message, so its length bounds the work.
result<std::string> did_in_dns_answer(std::string_view bytes) {
  constexpr std::size_t class_and_ttl = 6;
  constexpr unsigned text_type = 16;
  message m(bytes);
  m.take(4);  // id, flags
  const unsigned questions = m.number(), answers = m.number();
  m.take(4);  // counts of the other sections
  for (unsigned n = 0; n < questions && !m.broken(); ++n) {
    m.skip_name();
    m.take(4);  // type, class
  }
  std::string found;
  for (unsigned n = 0; n < answers && !m.broken(); ++n) {
    m.skip_name();
    const unsigned type = m.number();
    m.take(class_and_ttl);
    const auto data = m.take(m.number());
    if (m.broken()) break;
    auto did = type == text_type ? did_of_record(data) : result<std::string>(std::string());
    if (!did) return did.error();
    if (!found.empty() && !did->empty() && *did != found)
      return fail(errc::malformed, "two text records name different DIDs");
    if (!did->empty()) found = std::move(*did);
  }
  if (m.broken()) return torn();
  if (found.empty()) return fail(errc::not_found, "no text record says \"did=…\"");
  return found;
}

class handle_resolver::impl {
 public:
  impl(asio::any_io_executor loop, handle_options options, resolver& documents)
      : options_(std::move(options)),
        documents_(documents),
        client_(loop, options_.allow_private_hosts ? http::host_rule::any : http::host_rule::only_public),
        dns_(loop) {}

  task<result<std::string>> look_up(std::string handle) {
    handle = lower_case(std::move(handle));
    const auto where = options_.url_of ? options_.url_of(handle) : handle_url(handle);
    if (!where)
      co_return fail(where.error().code, "{} is no handle that can be looked up: {}", handle, where.error().text);
    auto did = co_await claimed(handle, *where);
    if (!did) co_return did.error();
    co_return co_await confirmed(std::move(handle), std::move(*did));
  }

  /// Ends the request to a host. A look-up of DNS that is still running ends by its own time limit.
  void close() noexcept {
    closed_ = true;
    client_.close();
  }

 private:
  task<result<std::string>> ask_host(http::url where) {
    const http::get_limits limits{.timeout = options_.timeout, .body = max_body, .redirects = max_redirects};
    auto said = co_await client_.get(std::move(where), limits);
    if (!said) co_return said.error();
    if (said->status != 200) co_return fail(errc::not_found, "HTTP {}", said->status);
    co_return did_in_body(said->body);
  }

  task<result<std::string>> ask_dns(std::string name) {
    auto bytes = co_await text_records_of(std::move(name));
    if (!bytes) co_return bytes.error();
    co_return did_in_dns_answer(*bytes);
  }

  task<result<std::string>> text_records_of(std::string name) {
    return options_.text_records ? options_.text_records(std::move(name))
                                 : dns_.look_up(std::move(name), options_.timeout);
  }

  // The DID that the handle's owner names, unchecked.
  task<result<std::string>> claimed(std::string handle, http::url where) {
    const auto asked = where.text();
    auto by_host = co_await ask_host(std::move(where));
    if (by_host || closed_) co_return by_host;
    auto by_dns = co_await ask_dns("_atproto." + handle);
    if (by_dns) co_return by_dns;
    const auto& host = by_host.error();
    const auto& dns = by_dns.error();
    const auto code = unanswered(dns) ? dns.code : unanswered(host) ? host.code : errc::not_found;
    co_return fail(
        code,
        "the handle {0} leads to no DID. {1}: {2}. Text records of _atproto.{0}: {3}. Check the spelling, or "
        "give the account's DID",
        handle, asked, host.text, dns.text);
  }

  task<result<std::string>> confirmed(std::string handle, std::string did) {
    const auto document = co_await documents_.look_up(did);
    if (!document)
      co_return fail(document.error().code, "the handle {} names {}, but its DID document can't be used: {}", handle,
                     did, document.error().text);
    if (document->handle == handle) co_return did;
    co_return fail(errc::malformed,
                   "the handle {} names {}, but the DID document there names {}. Both must name each other. Give the "
                   "account's DID",
                   handle, did, document->handle.empty() ? std::string("no handle") : document->handle);
  }

  handle_options options_;
  resolver& documents_;
  http::client client_;
  text_records dns_;
  bool closed_ = false;
};

handle_resolver::handle_resolver(asio::any_io_executor loop, handle_options options, resolver& documents)
    : impl_(std::make_shared<impl>(std::move(loop), std::move(options), documents)) {}
handle_resolver::~handle_resolver() { impl_->close(); }

task<result<std::string>> handle_resolver::look_up(std::string handle) {
  const auto outlives_the_resolver = impl_;
  co_return co_await outlives_the_resolver->look_up(std::move(handle));
}

}  // namespace recordkv::identity

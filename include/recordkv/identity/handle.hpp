// From a handle to the DID of its account, checked in both directions.
//
// Owns: the two places where a handle names its DID, what an answer must say, and the comparison with the DID document.
// Does not know: where answers are kept, and accounts of the store. One thread: the loop's.
// The handle's host and its DNS are hostile (http/client.hpp). Every answer is bounded.
// Source: atproto.com specification "handle".
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/http/url.hpp"
#include "recordkv/identity/resolver.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace recordkv::identity {

/// "https://HANDLE/.well-known/atproto-did". errc::malformed: no handle, or one under a top-level domain that no public
/// host has.
result<http::url> handle_url(std::string_view handle);

/// The DID in the body of that answer: nothing but white space may be around it. errc::malformed otherwise.
result<std::string> did_in_body(std::string_view body);

/// The DID in a DNS answer: the one text record "did=DID" of its answer section. Other text records do not count.
///
///   not_found   there is no such record.
///   malformed   the bytes break the format, the record holds no DID, or two records name different ones.
result<std::string> did_in_dns_answer(std::string_view bytes);

struct handle_options {
  bool allow_private_hosts = false;           ///< as identity.allow_private_hosts
  std::chrono::milliseconds timeout{10'000};  ///< of each of the two ways
  /// Tests replace the two below. Empty: handle_url(), and the system's DNS.
  std::function<result<http::url>(std::string_view handle)> url_of;
  /// The bytes of the answer for the text records of a name. errc::not_found: the name has none.
  std::function<task<result<std::string>>(std::string name)> text_records;
};

class handle_resolver {
 public:
  /// `documents` outlives it.
  handle_resolver(asio::any_io_executor loop, handle_options options, resolver& documents);
  /// Ends the requests under way. A look-up of DNS that is still running ends by its time limit, without effect.
  ~handle_resolver();
  handle_resolver(const handle_resolver&) = delete;
  handle_resolver& operator=(const handle_resolver&) = delete;

  /// Asks the handle's host, and if the host names no DID, the text records of "_atproto.HANDLE". Then the DID document
  /// must name the handle. Upper case counts as lower case. Errors; each text names the handle and says what to do:
  ///   errc::malformed    no handle, or the DID document does not name it. Also an unusable DID document.
  ///   errc::not_found    neither place names a DID, or there is no such DID.
  ///   errc::unreachable, errc::timed_out   no place names a DID, and at least one has not answered. Or the DID
  ///                      document can't be fetched.
  task<result<std::string>> look_up(std::string handle);

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace recordkv::identity

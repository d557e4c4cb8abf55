// The body of an answer in memory, while it arrives.
//
// Owns: when that memory grows, and that the request's `admit` is asked before. Does not know: sockets and heads.
//
// A large body is never copied to a larger place: that would take twice its memory for a moment. If the length is
// known, the place is made at once. Otherwise a body of more than `small` bytes gets a place for the whole limit.
// Memory that was never written costs address space only.
#pragma once

#include "recordkv/http/client.hpp"

#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional.hpp>
#include <boost/system/error_code.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>

namespace recordkv::http {

/// A Body of Beast. `limits` is set before the first byte is read.
struct answer_body {
  static constexpr std::size_t small = 1 << 20;

  class value_type {
   public:
    const get_limits* limits = nullptr;
    std::string bytes;

    bool refused() const noexcept { return refused_; }

    /// False: `admit` said no.
    bool expect(std::uint64_t length) {
      if (!admit(static_cast<std::size_t>(length))) return false;
      reserve(static_cast<std::size_t>(length));
      return true;
    }
    bool make_room(std::size_t more) {
      const auto needed = bytes.size() + more;
      if (!admit(needed)) return false;
      if (!grows_by_copying_ && needed > std::max(bytes.capacity(), small)) reserve(limits->body);
      return true;
    }

   private:
    bool admit(std::size_t needed) {
      if (needed <= admitted_) return true;
      refused_ = limits->admit && !limits->admit(needed - admitted_);
      if (!refused_) admitted_ = needed;
      return !refused_;
    }
    /// It is no failure if the system does not give that much address space.
    void reserve(std::size_t size) noexcept {
      try {
        bytes.reserve(size);
      } catch (const std::exception&) {
        grows_by_copying_ = true;
      }
    }

    std::size_t admitted_ = 0;
    bool refused_ = false;
    bool grows_by_copying_ = false;
  };

  class reader {
   public:
    template <bool is_request, class Fields>
    reader(boost::beast::http::header<is_request, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<std::uint64_t>& length, boost::system::error_code& ec) {
      ec = length && !body_.expect(*length) ? no_room() : boost::system::error_code{};
    }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& ec) {
      const auto more = boost::beast::buffer_bytes(buffers);
      ec = body_.make_room(more) ? boost::system::error_code{} : no_room();
      if (ec) return 0;
      for (const auto piece : boost::beast::buffers_range_ref(buffers))
        body_.bytes.append(static_cast<const char*>(piece.data()), piece.size());
      return more;
    }
    void finish(boost::system::error_code& ec) { ec = {}; }

   private:
    static boost::system::error_code no_room() { return make_error_code(boost::system::errc::not_enough_memory); }

    value_type& body_;
  };
};

}  // namespace recordkv::http

// What people write: the records of each collection.
//
// Owns: the list of collections, the form of their records and of their record keys.
// Does not know: which account has which records, revs, events.
#pragma once

#include "draw.hpp"
#include "record_writer.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::sim {

enum class collection : std::uint16_t {
  like,
  post,
  repost,
  follow,
  block,
  profile,
  list,
  listitem,
  threadgate,
  like_extra,  ///< a longer NSID below that of likes: a careless filter takes its records for likes
  camel,
  hyphens,
  stream,
};

inline constexpr std::array<std::string_view, 13> collections = {
    "app.bsky.feed.like",           "app.bsky.feed.post",       "app.bsky.feed.repost", "app.bsky.graph.follow",
    "app.bsky.graph.block",         "app.bsky.actor.profile",   "app.bsky.graph.list",  "app.bsky.graph.listitem",
    "app.bsky.feed.threadgate",     "app.bsky.feed.like.extra", "com.example.fooBar",   "a-0.b-1.c",
    "place.stream.chat.message.v2",
};

inline std::string_view nsid(collection c) noexcept { return collections[static_cast<std::size_t>(c)]; }

/// A post that others may like, answer or repost.
struct post_ref {
  std::uint32_t account = 0;
  std::uint64_t tid = 0;
  sim::cid cid;
};

/// What a record may refer to, drawn by the world. DIDs are views that outlive the call.
struct setting {
  std::string_view author;       ///< DID
  std::string_view other;        ///< DID of another account
  std::string_view post_author;  ///< DID
  post_ref post;                 ///< by post_author
  std::uint64_t time_us = 0;
};

/// The record key for a record of `c` whose number is `tid`; some collections have awkward ones. Replaces `out`.
void write_rkey(std::string& out, collection c, std::uint64_t tid);

/// Writes a record of `c` into the empty writer.
void write_record(record_writer& w, collection c, const setting& s, draw& d);

}  // namespace recordkv::sim

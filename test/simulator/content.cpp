#include "content.hpp"

#include <iterator>
#include <limits>

namespace recordkv::sim {
namespace {

// one in some is not ASCII: combining marks, right to left, beyond the BMP, joiners, line separators
constexpr std::string_view words[] = {
    "the",
    "a",
    "and",
    "of",
    "sky",
    "blue",
    "today",
    "was",
    "not",
    "very",
    "good",
    "bread",
    "train",
    "again",
    "window",
    "river",
    "code",
    "review",
    "morning",
    "coffee",
    "who",
    "knew",
    "rain",
    "garden",
    "never",
    "always",
    "maybe",
    "one",
    "more",
    "time",
    "photo",
    "of",
    "my",
    "cat",
    "dog",
    "moon",
    "over",
    "harbor",
    "music",
    "is",
    "what",
    "we",
    "have",
    "found",
    "so",
    "far",
    "and",
    "yet",
    "it",
    "holds",
    "für",
    "été",
    "東京",
    "の",
    "空",
    "שלום",
    "привет",
    "😀",
    "👩‍🚀",
    "e\u0301",
    "🏳️‍🌈",
    "\u2028",
    "\"so\"",
    "back\\s",
};

void append_words(std::string& out, draw& d, std::uint32_t count) {
  static constexpr zipf pick(std::size(words), 8);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i > 0) out += ' ';
    out += words[pick(d)];
  }
}

void write_created(record_writer& w, const setting& s) {
  std::string time;
  append_time(time, s.time_us, 3);
  w.pair("createdAt", time);
}

void write_strong_ref(record_writer& w, const setting& s) {
  std::string text;
  w.open_map(2);
  s.post.cid.append_text(text);
  w.pair("cid", text);
  text.assign("at://").append(s.post_author).append("/app.bsky.feed.post/");
  append_tid(text, s.post.tid);
  w.pair("uri", text);
  w.close_map();
}

void write_blob(record_writer& w, draw& d) {
  cid ref{.codec = cid::raw};
  for (auto& byte : ref.hash) byte = static_cast<unsigned char>(d.next());
  w.open_map(4);
  w.key("ref"), w.link(ref);
  w.pair("size", 1000 + d.below(900'000));
  w.pair("$type", "blob");
  w.pair("mimeType", "image/jpeg");
  w.close_map();
}

void write_like(record_writer& w, collection c, const setting& s, draw& d) {
  const bool via = d.one_in(8);
  const std::uint32_t flaw = d.below(800);  // a like that points nowhere is a record like any other, but no row
  w.open_map(flaw == 0 ? 2 : via ? 4 : 3);
  if (via && flaw != 0) w.key("via"), write_strong_ref(w, s);
  w.pair("$type", nsid(c));
  if (flaw == 1) {
    w.key("subject"), w.open_map(1), w.pair("uri", 42), w.close_map();
  } else if (flaw != 0) {
    w.key("subject"), write_strong_ref(w, s);
  }
  write_created(w, s);
  w.close_map();
}

void write_embed(record_writer& w, draw& d) {
  w.key("embed"), w.open_map(2);
  w.pair("$type", "app.bsky.embed.images");
  w.key("images"), w.open_array(1), w.open_map(3);
  w.pair("alt", "");
  w.key("image"), write_blob(w, d);
  w.key("aspectRatio"), w.open_map(2), w.pair("width", 4), w.pair("height", 3), w.close_map();
  w.close_map(), w.close_array(), w.close_map();
}

void write_facets(record_writer& w) {
  w.key("facets"), w.open_array(1), w.open_map(2);
  w.key("index"), w.open_map(2), w.pair("byteEnd", 3), w.pair("byteStart", 0), w.close_map();
  w.key("features"), w.open_array(1), w.open_map(2);
  w.pair("tag", "sky"), w.pair("$type", "app.bsky.richtext.facet#tag");
  w.close_map(), w.close_array(), w.close_map(), w.close_array();
}

void write_post(record_writer& w, const setting& s, draw& d) {
  const bool embed = d.one_in(6), reply = d.one_in(3), facets = d.one_in(10);
  std::string text;
  append_words(text, d, d.one_in(8000) ? 5000 : 2 + d.below(24));  // now and then far beyond what the app allows
  if (d.one_in(20)) text += "\n\t\x01";
  w.open_map(4 + embed + reply + facets);
  w.pair("text", text);
  w.pair("$type", nsid(collection::post));
  if (embed) write_embed(w, d);
  w.key("langs"), w.open_array(1), w.text("en"), w.close_array();
  if (reply) {
    w.key("reply"), w.open_map(2);
    w.key("root"), write_strong_ref(w, s);
    w.key("parent"), write_strong_ref(w, s);
    w.close_map();
  }
  if (facets) write_facets(w);
  write_created(w, s);
  w.close_map();
}

void write_profile(record_writer& w, const setting& s, draw& d) {
  std::string text;
  w.open_map(5);
  w.pair("$type", nsid(collection::profile));
  w.key("avatar"), write_blob(w, d);
  write_created(w, s);
  append_words(text, d, 12);
  w.pair("description", text);
  text.clear();
  append_words(text, d, 2);
  w.pair("displayName", text);
  w.close_map();
}

// $type, subject and createdAt, with one key before them where the collection has it
void write_plain(record_writer& w, collection c, const setting& s, std::string_view extra_key, std::string_view extra) {
  w.open_map(extra_key.empty() ? 3 : 4);
  if (!extra_key.empty()) w.pair(extra_key, extra);
  w.pair("$type", nsid(c));
  w.pair("subject", s.other);
  write_created(w, s);
  w.close_map();
}

// everything the data model allows and code forgets
void write_awkward(record_writer& w, collection c, const setting& s, draw& d) {
  constexpr std::int64_t edges[] = {9'007'199'254'740'993,
                                    -9'007'199'254'740'993,
                                    std::numeric_limits<std::int64_t>::max(),
                                    std::numeric_limits<std::int64_t>::min(),
                                    4'294'967'296,
                                    -1};
  w.open_map(13);
  w.pair("", "an empty key");
  w.pair("n", d.below(1000));
  w.pair("10", "looks like an index");
  w.pair("big", edges[d.below(std::size(edges))]);
  const std::uint32_t depth = 1 + d.below(12);
  w.key("deep");
  for (std::uint32_t i = 0; i < depth; ++i) w.open_map(1), w.key("in");
  w.open_array(3), w.null(), w.boolean(true), w.integer(-24), w.close_array();
  for (std::uint32_t i = 0; i < depth; ++i) w.close_map();
  w.key("link"), w.link(s.post.cid);
  w.pair("$type", nsid(c));
  w.key("bytes"), w.bytes(std::string_view("\0\xff\x7f~", d.below(5)));
  w.key("empty"), w.open_array(2), w.open_map(0), w.close_map(), w.open_array(0), w.close_array(), w.close_array();
  w.key("subject"), write_strong_ref(w, s);
  w.pair("__proto__", "ключ 😀");
  write_created(w, s);
  w.pair("unicode ключ", "\u2028\u00ff\U0001F9D1\u200D\U0001F33E");
  w.close_map();
}

}  // namespace

void write_rkey(std::string& out, collection c, std::uint64_t tid) {
  out.clear();
  switch (c) {
    case collection::profile: out = "self"; return;
    case collection::camel: out = "pre:fix~1.2-3_"; break;
    case collection::hyphens: out = "~."; break;
    case collection::stream: out = "did:web:a-b.example::"; break;
    case collection::like_extra: out = "_"; break;
    default: break;
  }
  append_tid(out, tid);
}

void write_record(record_writer& w, collection c, const setting& s, draw& d) {
  switch (c) {
    case collection::like:
    case collection::like_extra: return write_like(w, c, s, d);
    case collection::post: return write_post(w, s, d);
    case collection::profile: return write_profile(w, s, d);
    case collection::repost:
      w.open_map(3);
      w.pair("$type", nsid(c));
      w.key("subject"), write_strong_ref(w, s);
      write_created(w, s);
      return w.close_map();
    case collection::follow:
    case collection::block: return write_plain(w, c, s, {}, {});
    case collection::list: return write_plain(w, c, s, "name", "people");
    case collection::listitem: return write_plain(w, c, s, "list", s.author);
    case collection::threadgate: return write_plain(w, c, s, "post", s.author);
    case collection::camel:
    case collection::hyphens:
    case collection::stream: return write_awkward(w, c, s, d);
  }
}

}  // namespace recordkv::sim

#include "repo.hpp"

#include "../cbor_writer.hpp"
#include "car.hpp"

#include <algorithm>

namespace recordkv::sim {
namespace {

// The map of a commit; with a signature it has one key more.
std::string commit_bytes(const commit_author& author, const repo& r, const cid* prev, const signature* sig) {
  cbor_writer w;
  w.map(sig == nullptr ? 5 : 6);
  w.text("did"), w.text(author.did);
  w.text("rev"), w.text(tid_text(r.rev));
  if (sig != nullptr) w.text("sig"), w.octets({reinterpret_cast<const char*>(sig->data()), sig->size()});
  w.text("data"), w.link(r.data);
  w.text("prev"), w.link_or_null(prev);
  w.text("version"), w.integer(3);
  return w.take();
}

void sign(repo& r, const commit_author& author, const cid* prev) {
  signature sig = author.key.sign(commit_bytes(author, r, prev, nullptr));
  if (author.high_s) sig = high_s(author.curve, sig);
  r.commit_block = commit_bytes(author, r, prev, &sig);
  r.commit = cid::of(r.commit_block);
}

repo_op apply(tree& to, const change& c) {
  repo_op out{.path = c.path};
  if (const record* old = to.find(c.path)) out.prev = old->cid;
  if (c.value == nullptr) {
    to.remove(c.path);
  } else {
    out.cid = c.value->cid;
    to.put(c.value);
  }
  return out;
}

}  // namespace

committed commit(const repo& before, std::span<const change> changes, std::uint64_t rev, const commit_author& author) {
  committed out{.after = {.records = before.records, .rev = rev}};
  for (const change& c : changes) out.ops.push_back(apply(out.after.records, c));
  out.after.data = out.after.records.root();
  const bool has_prev = author.names_prev && before.rev != 0;
  sign(out.after, author, has_prev ? &before.commit : nullptr);
  return out;
}

std::string car_of_changes(const repo& after, std::span<const change> changes) {
  std::vector<std::string_view> paths;
  for (const change& c : changes) paths.push_back(c.path);
  std::string out = car_header(after.commit);
  append_section(out, after.commit, after.commit_block);
  for (const tree_block& b : after.records.proof(paths)) append_section(out, b.cid, b.bytes);
  for (const change& c : changes)
    if (c.value != nullptr) append_section(out, c.value->cid, c.value->cbor);
  return out;
}

std::string car_of_commit(const repo& r) {
  std::string out = car_header(r.commit);
  append_section(out, r.commit, r.commit_block);
  return out;
}

std::string car_of_repo(const repo& r, bool reversed, bool torn) {
  std::vector<tree_block> blocks = {{r.commit, r.commit_block}};
  for (tree_block& b : r.records.blocks()) blocks.push_back(std::move(b));
  if (torn) blocks.erase(blocks.begin() + 1 + static_cast<std::ptrdiff_t>((blocks.size() - 1) / 2));
  r.records.visit([&](const record& one) { blocks.push_back({one.cid, one.cbor}); });
  if (reversed) std::ranges::reverse(blocks);
  std::string out = car_header(r.commit);
  for (const tree_block& b : blocks) append_section(out, b.cid, b.bytes);
  return out;
}

std::string car_of_record(const repo& r, std::string_view path) {
  std::string out = car_of_commit(r);
  for (const tree_block& b : r.records.proof({&path, 1})) append_section(out, b.cid, b.bytes);
  if (const record* one = r.records.find(path)) append_section(out, one->cid, one->cbor);
  return out;
}

}  // namespace recordkv::sim

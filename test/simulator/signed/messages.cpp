#include "messages.hpp"

#include "../cbor_writer.hpp"

namespace recordkv::sim {
namespace {

cbor_writer begin(std::string_view kind, bool op_first = false) {
  cbor_writer w;
  w.map(2);
  if (op_first) w.text("op"), w.integer(1);
  w.text("t"), w.text(kind);
  if (!op_first) w.text("op"), w.integer(1);
  return w;
}

void write_time(cbor_writer& w, std::uint64_t time_us) {
  std::string text;
  append_time(text, time_us, 6);
  w.text("time"), w.text(text);
}

void write_seq(cbor_writer& w, std::uint64_t seq) { w.text("seq"), w.integer(static_cast<std::int64_t>(seq)); }

void write_op(cbor_writer& w, const repo_op& op, bool foreign) {
  const bool has_cid = op.cid || !foreign;  // some servers leave the null out
  w.map(2u + has_cid + op.prev.has_value());
  if (has_cid) w.text("cid"), w.link_or_null(op.cid ? &*op.cid : nullptr);
  w.text("path"), w.text(op.path);
  if (op.prev) w.text("prev"), w.link(*op.prev);
  w.text("action"), w.text(!op.cid ? "delete" : op.prev ? "update" : "create");
}

}  // namespace

std::string encode(const commit_message& m, std::uint64_t seq) {
  cbor_writer w = begin("#commit", m.foreign);
  w.map((m.foreign ? 8u : 11u) + m.prev_data.has_value());
  w.text("ops"), w.array(m.ops.size());
  for (const repo_op& op : m.ops) write_op(w, op, m.foreign);
  w.text("rev"), w.text(tid_text(m.rev));
  write_seq(w, seq);
  w.text("repo"), w.text(m.did);
  write_time(w, m.time_us);
  if (!m.foreign) {
    w.text("blobs"), w.array(0);
    w.text("since"), m.since == 0 ? w.null() : w.text(tid_text(m.since));
  }
  w.text("blocks"), w.octets(m.blocks);
  w.text("commit"), w.link(m.commit);
  w.text("rebase"), w.boolean(false);
  if (!m.foreign) w.text("tooBig"), w.boolean(false);
  if (m.prev_data) w.text("prevData"), w.link(*m.prev_data);
  return w.take();
}

std::string sync_message(std::string_view did, const repo& r, std::uint64_t time_us, std::uint64_t seq) {
  cbor_writer w = begin("#sync");
  w.map(5);
  w.text("did"), w.text(did);
  w.text("rev"), w.text(tid_text(r.rev));
  write_seq(w, seq);
  write_time(w, time_us);
  w.text("blocks"), w.octets(car_of_commit(r));
  return w.take();
}

std::string identity_message(std::string_view did, std::string_view handle, std::uint64_t time_us, std::uint64_t seq) {
  cbor_writer w = begin("#identity");
  w.map(4);
  w.text("did"), w.text(did);
  write_seq(w, seq);
  write_time(w, time_us);
  w.text("handle"), w.text(handle);
  return w.take();
}

std::string account_message(std::string_view did, std::string_view status, std::uint64_t time_us, std::uint64_t seq) {
  cbor_writer w = begin("#account");
  w.map(status.empty() ? 4 : 5);
  w.text("did"), w.text(did);
  write_seq(w, seq);
  write_time(w, time_us);
  w.text("active"), w.boolean(status.empty());
  if (!status.empty()) w.text("status"), w.text(status);
  return w.take();
}

std::string info_message(std::string_view name) {
  cbor_writer w = begin("#info");
  w.map(1);
  w.text("name"), w.text(name);
  return w.take();
}

std::string error_message(std::string_view name) {
  cbor_writer w;
  w.map(1), w.text("op"), w.integer(-1);
  w.map(1), w.text("error"), w.text(name);
  return w.take();
}

}  // namespace recordkv::sim

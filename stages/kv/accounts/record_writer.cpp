#include "record_writer.hpp"

#include "recordkv/kv/record_key.hpp"

namespace recordkv::stages {

std::string record_writer::subject_of(const atproto::repo_event& of, const atproto::record_change& c) const {
  return fmt::format("$KV.{}.{}", bucket_, kv::record_key::of(of.did, c.collection, c.rkey, partitions_).text());
}

task<result<nats::ordinal>> record_writer::put(const atproto::repo_event& of, atproto::record_change& c) {
  nats::header_list headers;
  headers.reserve(4);
  headers.push_back({"cid", std::move(c.cid)});
  headers.push_back({"rev", of.rev});
  headers.push_back({"time", of.time});
  headers.push_back({"op", std::string(atproto::name(c.what))});
  auto put = co_await out_.put(subject_of(of, c), std::move(headers), std::move(c.json));
  if (put) counters_.add("records_written");
  co_return put;
}

task<result<nats::ordinal>> record_writer::erase(const atproto::repo_event& of, const atproto::record_change& c) {
  nats::header_list headers;
  headers.reserve(5);
  headers.push_back({"KV-Operation", "DEL"});
  headers.push_back({"rev", of.rev});
  headers.push_back({"time", of.time});
  headers.push_back({"op", "delete"});
  if (!c.prev.empty()) headers.push_back({"prev", c.prev});
  auto put = co_await out_.put(subject_of(of, c), std::move(headers), {});
  if (put) counters_.add("records_deleted");
  co_return put;
}

}  // namespace recordkv::stages

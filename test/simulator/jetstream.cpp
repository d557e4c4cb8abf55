#include "jetstream.hpp"

#include <fmt/format.h>

namespace recordkv::sim {
namespace {

void append_about_account(std::string& out, const step& s, std::string_view did) {
  const bool identity = s.kind == step_kind::identity;
  out.append(identity ? R"("identity","identity":{)" : R"("account","account":{"active":true,)");
  out.append(R"("did":")").append(did).append(R"(",)");
  if (identity) out.append(R"("handle":"u)").append(fmt::format_int(s.account).c_str()).append(R"(.sim.test",)");
  out.append(R"("seq":)").append(fmt::format_int(1'000'000 + s.first).c_str()).append(R"(,"time":")");
  append_time(out, s.time_us, 3);
  out.append("\"}}");
}

}  // namespace

void append_jetstream(std::string& out, const step& s, std::size_t n, std::string_view did) {
  const bool commit = s.kind == step_kind::commit;
  const std::uint64_t time_us = commit ? s.ops[n].time_us : s.time_us;
  out.append(R"({"did":")").append(did).append(R"(","time_us":)").append(fmt::format_int(time_us).c_str());
  out.append(R"(,"kind":)");
  if (!commit) return append_about_account(out, s, did);

  const op& o = s.ops[n];
  out.append(R"("commit","commit":{"rev":")");
  append_tid(out, s.rev);
  out.append(R"(","operation":")").append(name(o.what));
  out.append(R"(","collection":")").append(nsid(o.where));
  out.append(R"(","rkey":")").append(o.rkey);
  if (o.what != action::remove) {
    out.append(R"(","record":)").append(o.record).append(R"(,"cid":")");
    o.cid.append_text(out);
  }
  out.append("\"}}");
}

}  // namespace recordkv::sim

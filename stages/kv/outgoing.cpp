#include "outgoing.hpp"

#include "recordkv/kv/account_keys.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

outgoing::outgoing(stage_context& ctx) : ctx_(ctx), repo_bytes_(static_cast<std::size_t>(ctx.cfg.repos.memory)) {}

void outgoing::start(const asio::any_io_executor& loop) {
  const auto& c = ctx_.cfg.identity;
  pds_ = std::make_unique<xrpc::pds_client>(
      loop, xrpc::pds_options{.allow_private_hosts = c.allow_private_hosts, .max_repo = repo_bytes_.total()},
      repo_bytes_, ctx_.counters);
  identity::resolver_options options;
  options.plc_url = c.plc_url;
  options.allow_private_hosts = c.allow_private_hosts;
  resolver_ = std::make_unique<identity::resolver>(loop, std::move(options), ctx_.counters);
  handles_ = std::make_unique<identity::handle_resolver>(
      loop, identity::handle_options{.allow_private_hosts = c.allow_private_hosts}, *resolver_);
  lists_ = std::make_unique<xrpc::repo_lists>(loop, xrpc::list_options{.allow_private_hosts = c.allow_private_hosts},
                                              ctx_.counters);
}

identity_port outgoing::directory() {
  return {.look_up = [this](std::string did) { return resolver_->look_up(std::move(did)); },
          .changed = [this](const std::string& did) { resolver_->changed(did); },
          .close =
              [this] {
                if (resolver_) resolver_->close();
              },
          .last_error = [this] { return resolver_ ? resolver_->last_error() : std::string(); }};
}

repair_port outgoing::repos(std::function<bool()> go_on) {
  return {
      .get_repo = [this](std::string pds, std::string did) { return pds_->get_repo(std::move(pds), std::move(did)); },
      .get_status = [this](std::string pds,
                           std::string did) { return pds_->get_repo_status(std::move(pds), std::move(did)); },
      .get_latest = [this](std::string pds,
                           std::string did) { return pds_->get_latest_commit(std::move(pds), std::move(did)); },
      .keys = [this, go_on = std::move(go_on)](
                  std::string did, std::vector<std::string> in,
                  std::size_t expected) { return keys(std::move(did), std::move(in), expected, go_on); },
      .close =
          [this] {
            if (pds_) pds_->close();
          }};
}

lists_port outgoing::lists() {
  lists_port port;
  port.page = [this](xrpc::list_request q) { return lists_->page(std::move(q)); };
  port.did_of = [this](std::string handle) { return did_of(std::move(handle)); };
  port.close = [this] {
    if (lists_) lists_->close();
    handles_.reset();  // ends a look-up that is under way
  };
  return port;
}

task<result<std::string>> outgoing::did_of(std::string handle) {
  if (!handles_) co_return fail(errc::closed, "closed");
  co_return co_await handles_->look_up(std::move(handle));
}

// If other programs write into the store, an account may have keys in collections that its state does not name.
task<result<std::vector<kv::stored_key>>> outgoing::keys(std::string did, std::vector<std::string> collections,
                                                         std::size_t expected, std::function<bool()> go_on) {
  auto meta = co_await kv::read_meta(ctx_.nc, ctx_.names());
  if (!meta) co_return meta.error();
  const auto& made = meta->made;
  const bool ours = !meta->put_used && std::ranges::find(made, ctx_.names().store()) != made.end();
  if (ours && collections.empty()) co_return std::vector<kv::stored_key>{};
  if (!ours) collections.clear();
  co_return co_await kv::read_account_keys(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters, std::move(did),
                                           ctx_.cfg.kv.partitions, std::move(collections), std::move(go_on), expected);
}

}  // namespace recordkv::stages

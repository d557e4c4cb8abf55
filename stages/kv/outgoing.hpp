// What stage kv asks of others: DID documents, repos and lists of accounts over HTTP, and an account's keys in the
// store.
//
// Owns: the resolvers, the clients, the bytes that repos may take, and which keys an account may have.
// Does not know: when something is asked, and what follows (key_look_ups.hpp, repairs.hpp, account_lists.hpp).
#pragma once

#include "accounts/key_look_ups.hpp"
#include "recordkv/identity/handle.hpp"
#include "recordkv/identity/resolver.hpp"
#include "recordkv/stage.hpp"
#include "recordkv/xrpc/pds_client.hpp"
#include "recordkv/xrpc/repo_lists.hpp"
#include "repair/account_lists.hpp"
#include "repair/repairs.hpp"

#include <memory>
#include <string>
#include <vector>

namespace recordkv::stages {

class outgoing {
 public:
  explicit outgoing(stage_context& ctx);

  /// Call it before anything is asked.
  void start(const asio::any_io_executor& loop);

  identity_port directory();
  /// All of it but `stored`. `go_on`: false ends the reading of keys.
  repair_port repos(std::function<bool()> go_on);
  /// Its `page`, `did_of` and `close`.
  lists_port lists();
  /// What repos hold of repos.memory.
  const xrpc::byte_budget& repo_bytes() const noexcept { return repo_bytes_; }

 private:
  task<result<std::string>> did_of(std::string handle);
  task<result<std::vector<kv::stored_key>>> keys(std::string did, std::vector<std::string> collections,
                                                 std::size_t expected, std::function<bool()> go_on);

  stage_context& ctx_;
  xrpc::byte_budget repo_bytes_;
  std::unique_ptr<identity::resolver> resolver_;  // these four are made by start()
  std::unique_ptr<identity::handle_resolver> handles_;
  std::unique_ptr<xrpc::pds_client> pds_;
  std::unique_ptr<xrpc::repo_lists> lists_;
};

}  // namespace recordkv::stages

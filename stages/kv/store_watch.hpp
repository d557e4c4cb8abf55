// Watches the settings of the streams that stage `kv` uses, and the growth of the store.
//
// Owns: the regular look at the settings, which another program may change. The samples of stored messages, by which a
// recreated store is recognised (X19). The store's growth.
// Does not know: records.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/stage.hpp"
#include "store_growth.hpp"

#include <string>

namespace recordkv::stages {

class store_watch {
 public:
  explicit store_watch(stage_context& ctx) : ctx_(ctx) {}

  /// Watches until close().
  void start(nursery& children);
  void close() noexcept;

  /// A setting that breaks the contract, with the value found and the value expected; empty: none.
  const std::string& changed_setting() const noexcept { return changed_; }
  const store_growth& growth() const noexcept { return growth_; }

 private:
  task<> watch_settings();
  task<> watch_growth();
  task<std::string> compare_streams();

  stage_context& ctx_;
  store_growth growth_;
  std::string changed_;
  bool sampled_ = false;
  bool closed_ = false;
  event closing_;
};

}  // namespace recordkv::stages

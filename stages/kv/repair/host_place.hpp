// A place at a host, for the time of one request.
//
// Owns: giving the place back, and telling so.
// Does not know: what is requested.
#pragma once

#include "recordkv/xrpc/host_budget.hpp"

#include <functional>
#include <string>
#include <utility>

namespace recordkv::stages {

class host_place {
 public:
  host_place(xrpc::host_budget& of, std::string host, std::function<void()> given_back)
      : of_(of),
        host_(std::move(host)),
        given_back_(std::move(given_back)),
        taken_(of_.begin(host_, xrpc::host_budget::clock::now())) {}
  ~host_place() {
    if (!taken_) return;
    of_.end(host_);
    given_back_();
  }
  host_place(const host_place&) = delete;
  host_place& operator=(const host_place&) = delete;

  /// False: the host had no place.
  bool taken() const noexcept { return taken_; }

 private:
  xrpc::host_budget& of_;
  std::string host_;
  std::function<void()> given_back_;
  bool taken_;
};

}  // namespace recordkv::stages

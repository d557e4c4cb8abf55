#include "postgres/session.hpp"

#include "sql/statements.hpp"

namespace recordkv::view::postgres {

turnstile::pass::~pass() {
  if (of_ == nullptr) return;
  ++of_->serving_;
  of_->moved_.notify();
}

task<turnstile::pass> turnstile::enter() {
  const auto mine = next_++;
  while (serving_ != mine) co_await moved_.wait();
  co_return pass(*this);
}

task<result<std::vector<reply>>> session::run(std::string_view doing, std::vector<request> all,
                                              connection::duration limit) {
  const std::string what(doing);
  auto answers = co_await db.run(std::move(all), limit);
  if (answers && answers->back().refused()) co_return db.failure(what, answers->back());
  co_return answers;
}

task<result<void>> session::ready() {
  if (auto up = co_await db.ready(); !up) co_return up.error();
  if (known_dial_ == db.dials()) co_return result<void>{};
  const std::string there = "SELECT to_regclass('recordkv_builds') IS NOT NULL";
  std::vector<request> look{{there, {}}};
  auto found = co_await run("look for its builds", std::move(look));
  if (!found) co_return found.error();
  if (found->back().text(0, 0) != "t") {
    // Two that create it at the same time would get in each other's way, IF NOT EXISTS or not.
    std::vector<request> make{{"BEGIN", {}},
                              {"SELECT pg_advisory_xact_lock(hashtextextended('recordkv_builds', 0))", {}},
                              {create_builds(dialect::postgres), {}},
                              {"COMMIT", {}}};
    auto made = co_await run("create table recordkv_builds", std::move(make));
    if (!made) co_await leave();
    if (!made) co_return made.error();
  }
  known_dial_ = db.dials();
  co_return result<void>{};
}

task<void> session::leave() {
  if (!db.in_transaction()) co_return;
  std::vector<request> undo{{"ROLLBACK", {}}};
  auto undone = co_await db.run(std::move(undo));
  if (!undone || undone->back().refused()) db.drop();
}

}  // namespace recordkv::view::postgres

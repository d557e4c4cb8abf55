// The command line, as CLI11 reads it.
//
// Owns: options and help texts. Does not know: what a command does.
#include "account_text.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <sstream>

namespace recordkv::cli {
namespace {

CLI::App* command(CLI::App& app, invocation& into, const char* name, const char* help, const char* example) {
  auto* sub = app.add_subcommand(name, help);
  sub->footer(std::string("Example:\n  ") + example);
  sub->callback([&into, name] { into.command = name; });
  return sub;
}

void add_record_commands(CLI::App& app, invocation& i) {
  auto* get =
      command(app, i, "get", "Print one record as JSON", "recordkv get at://did:plc:…/app.bsky.feed.post/3k… --meta");
  get->add_option("uri", i.uri, "at://DID/COLLECTION/RKEY")->required();
  get->add_flag("--meta", i.meta, "Add cid, rev, key and stream sequence");
  auto* ls = command(app, i, "ls", "List the records of an account", "recordkv ls did:plc:… app.bsky.feed.like");
  ls->add_option("did", i.uri, "The account")->required();
  ls->add_option("collection", i.collection, "Only this collection (NSID)");
  auto* put = command(app, i, "put", "Write a mock record straight into the store (for development and tests)",
                      "recordkv put at://did:plc:…/app.bsky.feed.like/a '{\"subject\":{\"uri\":\"at://…\"}}'");
  put->add_option("uri", i.uri, "at://DID/COLLECTION/RKEY")->required();
  put->add_option("json", i.text, "The record, or - for standard input")->default_str("-");
  put->add_flag("--wait", i.wait, "Return once every view has it");
  auto* del = command(app, i, "del", "Delete a record from the store by hand",
                      "recordkv del at://did:plc:…/app.bsky.feed.like/a");
  del->add_option("uri", i.uri, "at://DID/COLLECTION/RKEY")->required();
  del->add_flag("--wait", i.wait, "Return once no view has it");
  auto* wait = command(app, i, "wait", "Return once the views have caught up with the store as it is now",
                       "recordkv wait at://did:plc:…/app.bsky.feed.like/a --view likes");
  wait->add_option("uri", i.uri, "Only for this record: at://DID/COLLECTION/RKEY");
  wait->add_option("--view", i.view, "Only this view");
}

// Makes an action of `command`, which then needs one.
auto actions_of(CLI::App* command, invocation& i) {
  command->require_subcommand(1);
  return [&i, command](const char* name, const char* help, const char* example) {
    auto* sub = command->add_subcommand(name, help);
    sub->footer(std::string("Example:\n  ") + example);
    sub->callback([&i, name] { i.action = name; });
    return sub;
  };
}

void add_view_actions(CLI::App* view, invocation& i) {
  const auto action = actions_of(view, i);
  action("list", "Every view with lag, rate and state", "recordkv view list --json")
      ->add_flag("--json", i.json, "One JSON object a line");
  auto* show = action("show", "One view's definition and state", "recordkv view show likes --toml > views/mine.toml");
  show->add_option("view", i.view, "Its name")->required();
  show->add_flag("--toml", i.toml, "The definition alone, to start from");
  action("rebuild", "Build it again from the store; the old build answers meanwhile", "recordkv view rebuild likes")
      ->add_option("view", i.view, "Its name")
      ->required();
  action("check", "Check view files and run the tests inside them", "recordkv view check my_view.toml")
      ->add_option("files", i.files, "View files, or builtin:NAME; default: those of index.views");
  auto* retry = action("retry", "Retry the rejected records (VIEW_rejects)", "recordkv view retry likes");
  retry->add_option("view", i.view, "Its name")->required();
  retry->add_option("--limit", i.limit, "At most this many, oldest first")->capture_default_str();
}

void add_view_commands(CLI::App& app, invocation& i) {
  auto* likes = command(app, i, "likes", "Ask the likes view: who liked this, what did they like",
                        "recordkv likes --of at://did:plc:…/app.bsky.feed.post/3k…");
  likes->add_option("--by", i.by, "What this account (DID) liked");
  likes->add_option("--of", i.of, "Who liked this record (AT-URI)")->excludes("--by");
  likes->add_option("--limit", i.limit, "At most this many rows")->capture_default_str();
  likes->add_flag("--json", i.json, "One JSON object a line");
  auto* query = command(app, i, "query", "Ask any view, or one of its counters",
                        "recordkv query replies --where root=at://did:plc:…/app.bsky.feed.post/3k… --limit 10");
  query->add_option("view", i.view, "A view, VIEW_by_COLUMN for a counter, VIEW_rejects for rejected records")
      ->required();
  query->add_option("--where", i.where, "COLUMN=VALUE; several are joined by and")->expected(1)->take_all();
  query->add_option("--limit", i.limit, "At most this many rows")->capture_default_str();
  query->add_flag("--json", i.json, "One JSON object a line");
  add_view_actions(
      command(app, i, "view", "The views: list, definition, rebuild, tests", "recordkv view rebuild likes"), i);
}

// They leave a wish for stage kv, which acts on it.
void add_repo_changes(const std::function<CLI::App*(const char*, const char*, const char*)>& action, invocation& i) {
  for (auto* change : {action("add", "Follow accounts in full: fetch their repos, and keep them complete",
                              "recordkv repo add jay.example.com --wait"),
                       action("remove", "Remove the records of accounts, and ignore their events until `repo add`",
                              "recordkv repo remove did:plc:…"),
                       action("resync", "Fetch the repos of accounts, and make the store equal to them",
                              "recordkv repo resync did:plc:… --wait")}) {
    change
        ->add_option("account", i.repo.accounts, "DIDs, or handles: of a known account, or as its host or DNS names it")
        ->required();
    change->add_flag("--wait", i.wait,
                     "Return once it is done. Exit code 1: a try has failed, or the account is inactive; 3: no process "
                     "runs stage kv for it");
    change->add_flag("--json", i.json, "One JSON object for each account");
  }
}

void add_repo_commands(CLI::App& app, invocation& i) {
  auto* repo = command(app, i, "repo", "The accounts: their states and traces; follow, remove and repair them",
                       "recordkv repo show did:plc:…");
  const auto action = actions_of(repo, i);
  auto* list = action("list", "One line for each account that has a state; counts on standard error",
                      "recordkv repo list --status desynchronised");
  list->add_option(
          "--status", i.repo.status,
          "Only these: synchronised, desynchronised (records may be missing or stale), incomplete (not "
          "fetched in full), unverified, inactive (at their host), followed (`repo add`), removing and deleted "
          "(deleted at their host), removed (`repo remove`)")
      ->type_name("S")
      ->check(CLI::IsMember(std::vector<std::string>(account_words.begin(), account_words.end())));
  list->add_flag("--json", i.json, "One JSON object a line, as stored");
  list->add_option("--limit", i.repo.limit, "End after this many lines")->type_name("N");
  auto* show = action("show", "All that is known of one account", "recordkv repo show jay.example.com");
  show->add_option("account", i.repo.account, "Its DID, or the handle that its DID document names")->required();
  show->add_flag("--json", i.json, "The state as stored");
  auto* traces =
      action("traces",
             "Prove that no content of an account is left: buffer, store, state, and the rows and rejects of "
             "every view. A line for each place. Exit code 0: none is left; 1: some is, and what to do; 3: a "
             "place could not be read. Records of other accounts that name it, such as a like of its post, "
             "are not its content",
             "recordkv repo traces did:plc:…");
  traces->add_option("account", i.repo.account, "Its DID. A handle, as long as the state or the network has it")
      ->required();
  traces->add_flag("--json", i.json, "One JSON object for each place");
  add_repo_changes(action, i);
}

void add_tail_command(CLI::App& app, invocation& i) {
  auto& t = i.tail;
  auto* tail = command(app, i, "tail", "Print the store as lines of JSON, from the first key, then live",
                       "recordkv tail app.bsky.feed.like 'app.bsky.graph.*' --durable my-likes");
  tail->add_option("collection", t.collections, "NSIDs, beginnings of NSIDs (app.bsky.graph.*), or \"*\" for all")
      ->required();
  tail->add_flag("--new", t.only_new, "Only records from now on (an existing durable goes on where it stopped)");
  tail->add_option("--durable", t.durable, "Go on where the reader of this name stopped")->type_name("NAME");
  std::map<std::string, bool> ways{{"stdin", true}};
  tail->add_option(
          "--ack", t.by_line,
          "stdin: each line on standard input acknowledges the next printed line. Without --ack a line is done once "
          "it is written. At most 10000 lines wait")
      ->transform(CLI::CheckedTransformer(std::move(ways)))
      ->type_name("stdin");
  auto* did = tail->add_option("--did", t.did, "Only this account")->type_name("DID");
  tail->add_option("--partition", t.partitions, "Only these partitions, e.g. 0-7,a")->type_name("P")->excludes(did);
  tail->add_option("--limit", t.lines, "End after this many lines")->type_name("N");
}

void add_frames_command(CLI::App& app, invocation& i) {
  auto& f = i.frames;
  auto* frames = command(app, i, "frames",
                         "Check firehose frames, one line each with the verdict of every check. Needs no NATS. "
                         "Exit code 1 when a frame fails",
                         "recordkv frames wss://bsky.network --count 100 --record frames.bin");
  frames
      ->add_option("input", f.input,
                   "A recording; - for one on standard input; or a live host, ws:// or wss:// (?cursor=N replays)")
      ->required();
  frames->add_option("--count", f.count, "End after this many frames")->type_name("N");
  frames->add_flag("--json", f.json, "One JSON object a line");
  frames->add_option("--record", f.record, "Save the frames to this new file")->type_name("FILE");
  auto* keys =
      frames->add_option("--keys", f.keys, "DID documents as JSON. Default: keys are looked up, see identity.plc_url")
          ->type_name("FILE");
  frames->add_flag("--no-identity", f.no_identity, "Don't check signatures")->excludes(keys);
  frames->add_option("--now", f.now, "Judge revs from the future as of this time. Default: the clock")
      ->type_name("TIME");
}

void add_operator_commands(CLI::App& app, invocation& i) {
  auto* status = command(app, i, "status", "The state of stages, store and views: what is stalled, and why",
                         "recordkv status --json");
  status->add_flag("--json", i.json, "For programs");
  status->add_flag("--watch", i.watch, "A live view, once a second until interrupted");
  status->add_flag("--quiet", i.quiet, "Print nothing; the exit code tells (0 all is well, 1 not, 3 no NATS)");
  auto* reset = command(app, i, "reset", "Delete the streams, buckets, consumers and views that recordkv made",
                        "recordkv reset --yes");
  reset->add_flag("--yes", i.yes, "Do not ask");
  auto* config =
      command(app, i, "config", "Check or print the effective configuration", "recordkv --config my.toml config check");
  config->add_option("action", i.action, "check or show")->required()->check(CLI::IsMember({"check", "show"}));
  auto* init =
      command(app, i, "init", "Write a commented configuration and a view to start from", "recordkv init mine");
  init->add_option("dir", i.directory, "The directory, made if absent. Default: the working directory")
      ->default_str(".");
}

}  // namespace

parsed parse_command_line(int argc, char** argv) {
  parsed p;
  invocation& i = p.what;
  bool version = false;
  CLI::App app(
      "recordkv keeps a NATS key-value store of AT Protocol records accurate and up to date,\nand folds it into views.",
      "recordkv");
  app.footer(
      "Without a command it runs the stages of the configuration.\n\nExamples:\n"
      "  recordkv up                  likes and posts of the network, with everything on this machine\n"
      "  recordkv up --repo HANDLE    the same, and all likes and posts of that account, also the earlier ones\n"
      "  recordkv init mine           a configuration and a view of your own to start from\n"
      "  recordkv --config mine/recordkv.toml --stages=ingest,kv\n"
      "  recordkv likes --of at://did:plc:…/app.bsky.feed.post/3k…\n\n"
      "Exit codes: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 NATS or network unreachable.");
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.add_option("--config", i.sources.files, "Configuration file (TOML); may be repeated, later ones win")
      ->type_name("FILE")
      ->expected(1)
      ->take_all();
  app.add_option("--stages", i.sources.stages, "Stages this process runs, e.g. ingest,kv")->type_name("LIST");
  app.add_option("--set", i.sources.sets, "One setting, e.g. source.kind=jetstream; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  app.add_flag("--list", i.list_stages, "List the stages");
  app.add_flag("--version", version, "Print the version");
  command(app, i, "run", "Run the stages (also without a command)", "recordkv --stages=ingest,kv run");
  auto* up = command(
      app, i, "up",
      "Run with everything on this machine: starts nats-server when none answers; without --config it follows likes "
      "and posts",
      "recordkv up --repo jay.example.com");
  up->add_option("--repo", i.repo.accounts,
                 "Also fetch this account in full, and say what the store and the views then have of it: a handle or a "
                 "DID; may be repeated")
      ->type_name("ACCOUNT")
      ->expected(1)
      ->take_all();
  add_record_commands(app, i);
  add_view_commands(app, i);
  add_repo_commands(app, i);
  add_tail_command(app, i);
  add_frames_command(app, i);
  add_operator_commands(app, i);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream help, mistake;
    const int code = app.exit(e, help, mistake);
    write_text(help.str());
    write_error_text(mistake.str());
    p.exit_code = code == 0 ? done : usage;
    return p;
  }
  if (version) {
    write_out("recordkv {}\n", RECORDKV_VERSION);
    p.exit_code = done;
  }
  i.sources.environment = config_environment();
  return p;
}

}  // namespace recordkv::cli

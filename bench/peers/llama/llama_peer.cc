// llama.cpp on the requests of the comparison: scores token sequences, or continues prompts
// greedily.
//
//     llama_peer score MODEL TOKENS THREADS warm|cold
//     llama_peer generate MODEL TOKENS THREADS NEW TOGETHER
//     llama_peer version
//
// TOKENS holds one sequence a line: the index of its first target, then its token ids. `score`
// decodes one sequence at a time, as llama-perplexity does with one; `cold` leaves out the sequence
// that is run before the clock starts. `generate` continues TOGETHER prompts at a time by NEW
// tokens each, end tokens included. One line of JSON comes out: the work done, the seconds that it
// took, what came before, peak memory, and the answers.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Sequence {
  int first_target = 0;
  std::vector<llama_token> tokens;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "llama_peer: %s\n", what.c_str());
  std::exit(1);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Sequence> read_sequences(const char* path) {
  std::ifstream file(path);
  if (!file) fail(std::string(path) + " cannot be read");
  std::vector<Sequence> sequences;
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line);
    Sequence sequence;
    numbers >> sequence.first_target;
    for (llama_token token; numbers >> token;) sequence.tokens.push_back(token);
    if (!sequence.tokens.empty()) sequences.push_back(std::move(sequence));
  }
  if (sequences.empty()) fail(std::string(path) + " holds no sequence");
  return sequences;
}

size_t longest(const std::vector<Sequence>& sequences) {
  size_t length = 0;
  for (const Sequence& sequence : sequences) length = std::max(length, sequence.tokens.size());
  return length;
}

class Batch {
 public:
  explicit Batch(int capacity) : batch_(llama_batch_init(capacity, 0, 1)) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void add(llama_token token, int position, int sequence, bool wants_logits) {
    const int at = batch_.n_tokens++;
    batch_.token[at] = token;
    batch_.pos[at] = position;
    batch_.n_seq_id[at] = 1;
    batch_.seq_id[at][0] = sequence;
    batch_.logits[at] = wants_logits;
  }

  void decode(llama_context* context) {
    if (llama_decode(context, batch_) != 0) fail("llama_decode failed");
    llama_synchronize(context);
    batch_.n_tokens = 0;
  }

 private:
  llama_batch batch_;
};

struct Engine {
  llama_model* model;
  llama_context* context;
  int vocabulary;

  // `length` positions for each of `sequences` sequences; up to `outputs` rows of logits at once.
  Engine(const char* path, int threads, int sequences, size_t length) {
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
        },
        nullptr);
    llama_backend_init();
    model = llama_model_load_from_file(path, llama_model_default_params());
    if (model == nullptr) fail(std::string(path) + " cannot be loaded");
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = sequences;
    params.n_ctx = sequences * length;
    params.n_batch = std::max<uint32_t>(2048, length);
    params.n_threads = params.n_threads_batch = threads;
    params.no_perf = true;
    context = llama_init_from_model(model, params);
    if (context == nullptr) fail("no context of that size can be made");
    vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  }

  ~Engine() {
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
  }

  void forget() { llama_memory_clear(llama_get_memory(context), false); }
};

double logprob(const float* logits, int vocabulary, llama_token token) {
  float most = logits[0];
  for (int v = 1; v < vocabulary; ++v) most = std::max(most, logits[v]);
  float sum = 0;
  for (int v = 0; v < vocabulary; ++v) sum += std::exp(logits[v] - most);
  return static_cast<double>(logits[token]) - most - std::log(static_cast<double>(sum));
}

// Sum of log p of the tokens from the first target on.
double score(Engine& engine, Batch& batch, const Sequence& sequence, int threads) {
  const int length = static_cast<int>(sequence.tokens.size());
  const int first_row = sequence.first_target - 1;
  engine.forget();
  // The last token is predicted and never read.
  for (int at = 0; at + 1 < length; ++at) batch.add(sequence.tokens[at], at, 0, at >= first_row);
  batch.decode(engine.context);
  const float* logits = llama_get_logits(engine.context);
  double sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads)
  for (int row = first_row; row < length - 1; ++row) {
    const size_t begin = static_cast<size_t>(row - first_row) * engine.vocabulary;
    sum += logprob(logits + begin, engine.vocabulary, sequence.tokens[row + 1]);
  }
  return sum;
}

struct Choice {
  llama_token token = 0;
  float gap = 0;  // between the two largest logits
};

Choice choose(const float* logits, int vocabulary) {
  const float* best = std::max_element(logits, logits + vocabulary);
  float second = -INFINITY;
  for (int v = 0; v < vocabulary; ++v) {
    if (logits + v != best) second = std::max(second, logits[v]);
  }
  return {static_cast<llama_token>(best - logits), *best - second};
}

// `made` of each prompt from `begin` on: `count` tokens, all prompts a step at a time.
void generate(Engine& engine, Batch& batch, const std::vector<Sequence>& prompts, size_t begin,
              size_t end, int count, int threads, std::vector<std::vector<Choice>>& made) {
  const int together = static_cast<int>(end - begin);
  engine.forget();
  for (int s = 0; s < together; ++s) {
    const auto& tokens = prompts[begin + s].tokens;
    for (size_t at = 0; at < tokens.size(); ++at)
      batch.add(tokens[at], static_cast<int>(at), s, at + 1 == tokens.size());
    batch.decode(engine.context);
    made[begin + s].push_back(choose(llama_get_logits_ith(engine.context, -1), engine.vocabulary));
  }
  for (int step = 1; step < count; ++step) {
    for (int s = 0; s < together; ++s) {
      const int position = static_cast<int>(prompts[begin + s].tokens.size()) + step - 1;
      batch.add(made[begin + s].back().token, position, s, true);
    }
    batch.decode(engine.context);
#pragma omp parallel for num_threads(threads)
    for (int s = 0; s < together; ++s)
      made[begin + s].push_back(choose(llama_get_logits_ith(engine.context, s), engine.vocabulary));
  }
}

void print_head(size_t work, double seconds, double startup) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{\"work\":%zu,\"seconds\":%.6f,\"startup_seconds\":%.6f,\"peak_rss_bytes\":%lld",
              work, seconds, startup, static_cast<long long>(usage.ru_maxrss) * 1024);
}

int run_score(char** arguments, Clock::time_point started) {
  const auto sequences = read_sequences(arguments[1]);
  const int threads = std::atoi(arguments[2]);
  Engine engine(arguments[0], threads, 1, longest(sequences));
  Batch batch(static_cast<int>(longest(sequences)));
  if (std::string(arguments[3]) == "warm") score(engine, batch, sequences.front(), threads);
  const double startup = seconds_since(started);
  const auto begin = Clock::now();
  std::vector<double> answers;
  size_t targets = 0;
  for (const Sequence& sequence : sequences) {
    answers.push_back(score(engine, batch, sequence, threads));
    targets += sequence.tokens.size() - sequence.first_target;
  }
  print_head(targets, seconds_since(begin), startup);
  std::printf(",\"answers\":[");
  for (size_t i = 0; i < answers.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : ",", answers[i]);
  std::printf("]}\n");
  return 0;
}

int run_generate(char** arguments, Clock::time_point started) {
  const auto prompts = read_sequences(arguments[1]);
  const int threads = std::atoi(arguments[2]);
  const int count = std::atoi(arguments[3]);
  const size_t together = std::atoi(arguments[4]);
  Engine engine(arguments[0], threads, static_cast<int>(together), longest(prompts) + count);
  Batch batch(static_cast<int>(longest(prompts)) + static_cast<int>(together));
  std::vector<std::vector<Choice>> warm(prompts.size()), made(prompts.size());
  generate(engine, batch, prompts, 0, 1, 2, threads, warm);
  const double startup = seconds_since(started);
  const auto begin = Clock::now();
  for (size_t at = 0; at < prompts.size(); at += together)
    generate(engine, batch, prompts, at, std::min(prompts.size(), at + together), count, threads,
             made);
  print_head(prompts.size() * count, seconds_since(begin), startup);
  const auto print_all = [&](const char* name, auto&& print) {
    std::printf(",\"%s\":[", name);
    for (size_t i = 0; i < made.size(); ++i) {
      std::printf(i == 0 ? "[" : ",[");
      for (size_t k = 0; k < made[i].size(); ++k) {
        if (k > 0) std::printf(",");
        print(made[i][k]);
      }
      std::printf("]");
    }
    std::printf("]");
  };
  print_all("answers", [](const Choice& choice) { std::printf("%d", choice.token); });
  print_all("gaps", [](const Choice& choice) { std::printf("%.4g", choice.gap); });
  std::printf("}\n");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto started = Clock::now();
  const std::string verb = count > 1 ? arguments[1] : "";
  if (verb == "version") return std::puts(llama_version()) < 0;
  if (verb == "score" && count == 6) return run_score(arguments + 2, started);
  if (verb == "generate" && count == 7) return run_generate(arguments + 2, started);
  fail(
      "usage: llama_peer score MODEL TOKENS THREADS warm|cold | generate MODEL TOKENS THREADS NEW "
      "TOGETHER");
}

/**
 * A study as SLURM job arrays: the plan that a queue would have, lists of keys in the study's folder, and one script that
 * submits itself: three arrays after one another (the models' references, training, measuring) and what collects.
 */
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeFileAtomic } from "../files/atomic.js";
import type { Job } from "../study/jobs.js";
import { workOf } from "../study/plan.js";
import type { PreparedStudy } from "../study/prepare-study.js";
import type { StudyStore } from "../study/store.js";
import { planGates } from "./gates.js";
import type { Requirement } from "./messages.js";
import { requirementOf } from "./placement.js";
import { writePlan } from "./plan-file.js";

export interface ArrayOptions extends Pick<Requirement, "device" | "compute"> {
  /** Words after `valora` that run what is left and collect. */
  collect: readonly string[];
}

const PHASES = ["reference", "train", "measure"] as const;
/** SLURM's own default of MaxArraySize: 1001. */
const ARRAY = 1000;
/** Groups are cut for so many tasks at a time. */
const TASKS = 64;

/** @param script where the script is written. Returns tasks by phase. */
export async function writeArray(
  prepared: PreparedStudy,
  store: StudyStore,
  script: string,
  { device, compute, collect }: ArrayOptions,
): Promise<{ phase: string; count: number }[]> {
  const left: Job[] = [];
  for (const job of prepared.jobs) if (!(await store.isDone(job.key))) left.push(job);
  const gates = planGates(left, TASKS);
  await writePlan(store.folder, {
    round: "0".repeat(16),
    requirements: prepared.models.map(({ ref, text }) =>
      requirementOf(
        ref,
        text.files.tensors.reduce((sum, { bytes }) => sum + bytes, 0),
        { device, compute },
      ),
    ),
    gates: new Map(gates.map((gate) => [gate.id, gate])),
    jobs: new Map(prepared.jobs.map((job) => [job.key, job])),
    work: new Map([...prepared.costs].map(([key, cost]) => [key, workOf(cost)])),
  });
  const isFirst = ({ id }: { id: string }): boolean => !id.includes(".");
  const lists = {
    reference: gates.filter(isFirst).flatMap(({ after }) => after),
    train: gates.filter((gate) => !isFirst(gate)).flatMap(({ after }) => after),
    measure: gates.flatMap(({ bundles }) => bundles),
  };
  const folder = join(store.folder, "slurm");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await store.forgetFailures();
  for (const phase of PHASES)
    await writeFileAtomic(join(folder, phase), lists[phase].map((keys) => `${keys.join(",")}\n`).join(""));
  const options = ["--device", device, "--compute", compute];
  await writeFileAtomic(script, render(resolve(store.folder), options, collect));
  return PHASES.map((phase) => ({ phase, count: lists[phase].length }));
}

function render(study: string, options: readonly string[], collect: readonly string[]): string {
  return `#!/bin/bash
# A study of valora as SLURM arrays. Submit it with: bash SCRIPT [options of sbatch, such as --partition=X --mem=8G]
# VALORA names the program where it is not on the path.
set -euo pipefail
valora=\${VALORA:-valora}
study=${quote(study)}

if [ -n "\${SLURM_ARRAY_TASK_ID:-}" ]; then
  line=$((VALORA_FROM + SLURM_ARRAY_TASK_ID))
  exec "$valora" worker --study "$study" --only "$(sed -n "\${line}p" "$study/slurm/$VALORA_PHASE")" ${options.map(quote).join(" ")}
fi
if [ -n "\${VALORA_PHASE:-}" ]; then
  cd ${quote(process.cwd())}
  exec "$valora" ${collect.map(quote).join(" ")}
fi

# Each phase waits for the end of the one before, well or not: what needs a failed job says so.
after=
for phase in ${PHASES.join(" ")}; do
  count=$(wc -l <"$study/slurm/$phase")
  ids=
  for ((from = 0; from < count; from += ${ARRAY})); do
    last=$((count - from < ${ARRAY} ? count - from : ${ARRAY}))
    id=$(sbatch --parsable --job-name="valora-$phase" \${after:+"--dependency=afterany$after"} \\
      --export="ALL,VALORA_PHASE=$phase,VALORA_FROM=$from" --array="1-$last" "$@" "$0")
    ids=$ids:\${id%%;*}
  done
  after=\${ids:-$after}
done
sbatch --parsable --job-name=valora-collect \${after:+"--dependency=afterany$after"} \\
  --export="ALL,VALORA_PHASE=collect" "$@" "$0"
`;
}

/** For a shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Several graders over one stream of answers, which is read once; memory does not grow with it. */
import type { Answer, Grade, GradeOptions, Grader } from "./grader.js";

/** Answers held at a time: enough for a batch of every grader. */
const BLOCK = 256;

/** One answer with what the graders say of it, in the graders' order; those that left it out are missing. */
export interface GradedAnswer<A extends Answer> {
  answer: A;
  grades: Grade[];
}

/**
 * In the order of the answers, whose ids have to be different.
 *
 * @throws what a grader throws
 */
export async function* gradeAll<A extends Answer>(
  answers: AsyncIterable<A>,
  graders: readonly Grader[],
  options: GradeOptions,
): AsyncGenerator<GradedAnswer<A>> {
  const gradeBlock = async function* (block: readonly A[]): AsyncGenerator<GradedAnswer<A>> {
    const grades = new Map<string, Grade[]>(block.map(({ id }) => [id, []]));
    for (const grader of graders)
      for await (const grade of grader.grade(each(block), options)) grades.get(grade.id)!.push(grade);
    for (const answer of block) yield { answer, grades: grades.get(answer.id)! };
  };
  let block: A[] = [];
  for await (const answer of answers) {
    block.push(answer);
    if (block.length < BLOCK) continue;
    yield* gradeBlock(block);
    block = [];
  }
  if (block.length > 0) yield* gradeBlock(block);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

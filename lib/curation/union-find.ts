/** Disjoint sets over 0 … n − 1; the smallest member of a set stands for it. */

export class UnionFind {
  private readonly parent: Uint32Array;

  constructor(count: number) {
    this.parent = Uint32Array.from({ length: count }, (_, index) => index);
  }

  /** The smallest member of the set that `item` is in. */
  find(item: number): number {
    const { parent } = this;
    let root = item;
    while (parent[root] !== root) root = parent[root]!;
    // Every item of the path now points at the root: the next look is one step.
    for (let at = item; at !== root; ) {
      const next = parent[at]!;
      parent[at] = root;
      at = next;
    }
    return root;
  }

  union(left: number, right: number): void {
    const [a, b] = [this.find(left), this.find(right)];
    if (a < b) this.parent[b] = a;
    else this.parent[a] = b;
  }
}

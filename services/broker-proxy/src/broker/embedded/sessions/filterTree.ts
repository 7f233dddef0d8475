interface Node<T> {
  children: Map<string, Node<T>>
  values: Map<T, number>
}

/** Who wants what: filters with their holders and QoS, found by topic in as many steps as the topic has levels. */
export interface FilterTree<T> {
  set(filter: string, holder: T, qos: number): void
  delete(filter: string, holder: T): void
  /** The holders of filters that match, each with the highest QoS of them. */
  match(topic: string): Map<T, number>
}

/** `$` topics need no rule of their own: all filters stand below a tenant, and clients cannot publish to them. */
export function createFilterTree<T>(): FilterTree<T> {
  const root = createNode<T>()

  function collect(found: Map<T, number>, node: Node<T> | undefined): void {
    for (const [holder, qos] of node?.values ?? []) {
      const other = found.get(holder)
      if (other === undefined || other < qos) found.set(holder, qos)
    }
  }

  function walk(node: Node<T>, levels: string[], at: number, found: Map<T, number>): void {
    collect(found, node.children.get('#'))
    const level = levels[at]
    if (level === undefined) {
      collect(found, node)
      return
    }
    const exact = node.children.get(level)
    const any = node.children.get('+')
    if (exact) walk(exact, levels, at + 1, found)
    if (any) walk(any, levels, at + 1, found)
  }

  return {
    set(filter, holder, qos) {
      let node = root
      for (const level of filter.split('/')) {
        const next = node.children.get(level) ?? createNode<T>()
        node.children.set(level, next)
        node = next
      }
      node.values.set(holder, qos)
    },

    delete(filter, holder) {
      const way: [parent: Node<T>, level: string, node: Node<T>][] = []
      let node = root
      for (const level of filter.split('/')) {
        const next = node.children.get(level)
        if (!next) return
        way.push([node, level, next])
        node = next
      }
      node.values.delete(holder)
      for (const [parent, level, child] of way.reverse()) {
        if (child.values.size > 0 || child.children.size > 0) return
        parent.children.delete(level)
      }
    },

    match(topic) {
      const found = new Map<T, number>()
      walk(root, topic.split('/'), 0, found)
      return found
    }
  }
}

function createNode<T>(): Node<T> {
  return { children: new Map(), values: new Map() }
}

/** Works of one name are done one after the other, in the order in which they came; others beside each other. */
export function createTurns(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()

  return async (name, work) => {
    const mine = (last.get(name) ?? Promise.resolve()).then(work)
    const end = mine.catch(() => undefined)
    last.set(name, end)
    try {
      return await mine
    } finally {
      if (last.get(name) === end) last.delete(name)
    }
  }
}

import type { KubeObject } from './objects.js'

/** Copies of an object, in each of which one other field has a letter too many; maps of free names are left as they are. */
export function misspellings(object: KubeObject): { object: KubeObject; path: string }[] {
  const free = /(^|\.)(labels|matchLabels|annotations|data|limits|requests|selector)(\.|$)/
  const places: string[][] = []
  const walk = (value: unknown, path: string[]) => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (!Array.isArray(value) && !free.test(path.join('.'))) places.push([...path, key])
      walk(inner, [...path, key])
    }
  }
  walk(object, [])
  return places.map((place) => {
    const copy = structuredClone(object)
    const key = place.at(-1) ?? ''
    const parent = place.slice(0, -1).reduce((inner, step) => inner[step] as Tree, copy as unknown as Tree)
    parent[`${key}x`] = parent[key]
    delete parent[key]
    return { object: copy, path: place.join('.') }
  })
}

type Tree = Record<string, unknown>

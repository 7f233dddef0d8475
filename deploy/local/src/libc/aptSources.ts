/**
 * The machine's own package sources, told to look at another release: mirrors, keys and options stay, the suite is
 * replaced. Only the base suite with component `main` is kept, which holds libc6: other repositories need not know the
 * new release.
 */
export interface SuiteChange {
  from: string
  to: string
}

/** `sources.list` and `*.list`: one source a line. */
export function rewriteList(text: string, { from, to }: SuiteChange): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const [, start, suite, components] = /^\s*(deb\s+(?:\[[^\]]*\]\s*)?\S+)\s+(\S+)\s+([^#]*)/.exec(line) ?? []
      if (suite !== from || !components?.split(/\s+/).includes('main')) return []
      return [`${start} ${to} main\n`]
    })
    .join('')
}

/** `*.sources`: deb822 stanzas. Fields we do not know (also keys of several lines) are kept as they are. */
export function rewriteDeb822(text: string, change: SuiteChange): string {
  return text
    .split(/\n(?:[ \t]*\n)+/)
    .map((stanza) => rewriteStanza(stanza, change))
    .filter(Boolean)
    .join('\n')
}

function rewriteStanza(stanza: string, { from, to }: SuiteChange): string {
  const fields = readFields(stanza)
  const words = (name: string) => (fields.get(name)?.value ?? '').split(/\s+/)
  const isOn = !/^(no|false|off|0)$/i.test(fields.get('enabled')?.value.trim() ?? '')
  if (!isOn || !words('types').includes('deb')) return ''
  if (!words('suites').includes(from) || !words('components').includes('main')) return ''
  const set: Record<string, string> = { types: 'Types: deb', suites: `Suites: ${to}`, components: 'Components: main' }
  return [...fields].map(([name, { text }]) => `${set[name] ?? text}\n`).join('')
}

function readFields(stanza: string): Map<string, { value: string; text: string }> {
  const fields = new Map<string, { value: string; text: string }>()
  let last: { value: string; text: string } | undefined
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#') || !line.trim()) continue
    const [, name, value = ''] = /^([A-Za-z0-9-]+):(.*)$/.exec(line) ?? []
    if (name) {
      last = { value, text: line }
      fields.set(name.toLowerCase(), last)
    } else if (last) {
      last.value += `\n${line}`
      last.text += `\n${line}`
    }
  }
  return fields
}

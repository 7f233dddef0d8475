import { RE2JS } from 're2js'
import { isFilter, matches, parseShared } from '../broker/topics.js'

export interface RewriteRule {
  filter: string
  pattern: RE2JS
  destination: string
}

const maxPattern = 256
const key = /^rewrite\.rule\.([0-9]+)$/

/**
 * The rules in the order of their numbers, each `filter regex destination` as in EMQ's `module.rewrite.rule`. Expressions are
 * RE2's, whose time grows with the length of the topic only. Throws an Error that names the setting.
 */
export function parseRewriteRules(settings: ReadonlyMap<string, string>): RewriteRule[] {
  const numbered = [...settings].flatMap(([name, value]) => {
    const [, number] = key.exec(name) ?? []
    return number === undefined || value === '' ? [] : [{ number: Number(number), name, value }]
  })
  return numbered.sort((a, b) => a.number - b.number).map(({ name, value }) => parseRule(name, value))
}

function parseRule(name: string, value: string): RewriteRule {
  const [filter = '', pattern = '', destination = '', ...rest] = value.split(' ')
  if (destination === '' || rest.length > 0) throw new Error(`${name} is not "filter regex destination"`)
  if (!isFilter(filter) || isOurs(filter))
    throw new Error(`${name}: "${filter}" is no filter of topics that may be rewritten`)
  const isFixed = !/^\$[1-9]/.test(destination)
  if ((isFixed && isOurs(destination)) || /[+#\0]/.test(destination))
    throw new Error(`${name}: "${destination}" is no topic to rewrite to`)
  if (pattern.length > maxPattern) throw new Error(`${name}: the expression is longer than ${maxPattern} characters`)
  try {
    return { filter, pattern: RE2JS.compile(pattern), destination }
  } catch (cause) {
    throw new Error(`${name}: "${pattern}" is no regular expression`, { cause })
  }
}

/** What a topic or filter becomes: of the rules whose filter and expression it matches the last one counts, as in EMQ. */
export function rewrite(rules: readonly RewriteRule[], topic: string): string {
  const shared = parseShared(topic)
  if (shared) return `$share/${shared.group}/${rewrite(rules, shared.filter)}`
  if (isOurs(topic)) return topic
  const groups = rules.reduce<{ found: (string | null)[]; destination: string } | undefined>((last, rule) => {
    if (!matches(rule.filter, topic)) return last
    const matcher = rule.pattern.matcher(topic)
    if (!matcher.find()) return last
    return {
      found: Array.from({ length: matcher.groupCount() + 1 }, (_, i) => matcher.group(i)),
      destination: rule.destination
    }
  }, undefined)
  if (!groups) return topic
  const made = groups.destination.replace(/\$([1-9])/g, (_, number) => groups.found[Number(number)] ?? '')
  // A part of a client's topic must not lead where a rule may not.
  return isOurs(made) || made === '' ? topic : made
}

/** Topics by which the product speaks with its machines, and the broker's own. */
function isOurs(topic: string): boolean {
  return topic.startsWith('$') || topic === 'fleet' || topic.startsWith('fleet/')
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'

/** Lines of the configuration that broker-proxy asks of an EMQX, by its README, which this one lacks; `secret` stands for EMQX_AUTH_SECRET there. */
export function missingOfEmqx(conf: string, secret: string): string[] {
  const readme = readFileSync(join(workspaceRoot, 'services/broker-proxy/README.md'), 'utf8')
  const [, wanted = ''] = /```hocon\n([\s\S]*?)```/.exec(readme) ?? []
  const lines = trimmed(wanted.trim().replaceAll('PORT', '8080').replaceAll('EMQX_AUTH_SECRET', secret))
  if (lines.length < 20) throw new Error('the README of broker-proxy has no configuration for EMQX')
  const given = trimmed(conf)
  return lines.filter((line) => !given.includes(line))
}

function trimmed(text: string): string[] {
  return text.split('\n').map((line) => line.replace(/ +# .*/, '').trim())
}

/** A configuration that stands in variables, `EMQX_` and a path each. */
export function confOf(variables: readonly (readonly [name: string, value: string])[]): string {
  const settings = variables.flatMap(([name, value]) => {
    const [, path] = /^EMQX_(.+)$/.exec(name) ?? []
    if (path === undefined) return []
    return [`${path.toLowerCase().replaceAll('__', '.')}${value.startsWith('{') ? ' ' : ' = '}${value}`]
  })
  return settings.join('\n')
}

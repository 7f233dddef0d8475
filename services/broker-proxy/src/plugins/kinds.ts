import { hookEvents, parseHook } from './hookSettings.js'
import { parseRewriteRules } from './rewrite.js'

/** A setting of a plugin; `<n>` and `<name>` in its key stand for what the operator chooses. */
export interface SettingKind {
  key: string
  /** Where nobody has set it. */
  value: string
  desc: string
  required: boolean
  /** Kept sealed, shown masked. */
  isSecret?: true
  /** A broker in a process of its own does not tell what it is about. */
  isInsideOnly?: true
}

export interface PluginKind {
  name: string
  description: string
  /** As long as nobody has switched it. */
  isOnByDefault: boolean
  /** Stopping it lets machines in without what they otherwise must show. */
  isProtection?: true
  /** Why it is not there with a broker in a process of its own; told to who asks for it. */
  insideOnly?: string
  settings: readonly SettingKind[]
  /** Throws an Error that says which setting is wrong. */
  check?(settings: ReadonlyMap<string, string>): unknown
}

const rewriteDesc = 'Topic filter, regular expression (RE2) and destination with $1 to $9, with spaces between them'
const ruleDesc = 'Whether it is sent: {"action": "on_…"}; where there is a topic, only those of a filter "topic"'

/** EMQX tells of connections, subscriptions and what is published. */
const insideOnly = new Set(['session.created', 'session.terminated', 'message.delivered', 'message.acked'])

/** Parts of ours that do what a plugin of EMQ did, under its name. A tenant switches its own side of them only. */
export const pluginKinds = [
  {
    name: 'emqx_auth_username',
    description: 'Log-in with the password of the MQTT user',
    isOnByDefault: true,
    isProtection: true,
    settings: []
  },
  {
    name: 'emqx_acl_internal',
    description: 'Permissions of MQTT users on topics',
    isOnByDefault: true,
    isProtection: true,
    settings: []
  },
  {
    name: 'emqx_retainer',
    description: 'Retained messages',
    isOnByDefault: true,
    insideOnly: 'its retainer is one for all tenants',
    settings: []
  },
  {
    name: 'emqx_file_transfer',
    description: 'Files to and from machines over MQTT',
    isOnByDefault: true,
    settings: []
  },
  {
    name: 'emqx_mod_rewrite',
    description: 'Topics and filters of clients, rewritten',
    isOnByDefault: false,
    insideOnly: 'its rules are the same for the filters of all tenants',
    settings: [{ key: 'rewrite.rule.<n>', value: '', desc: rewriteDesc, required: false }],
    check: parseRewriteRules
  },
  {
    name: 'emqx_delayed_publish',
    description: 'Messages to $delayed/{seconds}/{topic}, sent later',
    isOnByDefault: false,
    settings: []
  },
  {
    name: 'emqx_web_hook',
    description: 'What happens at the broker, sent to a URL',
    isOnByDefault: false,
    settings: [
      { key: 'web.hook.api.url', value: '', desc: 'Where to; http or https', required: true },
      { key: 'web.hook.headers.<name>', value: '', desc: 'A header of each request', required: false, isSecret: true },
      { key: 'web.hook.encode_payload', value: 'plain', desc: 'plain (UTF-8) or base64', required: false },
      ...Object.keys(hookEvents).map((event) => ({
        key: `web.hook.rule.${event}.<n>`,
        value: '',
        desc: ruleDesc,
        required: false,
        ...(insideOnly.has(event) && { isInsideOnly: true as const })
      }))
    ],
    check: parseHook
  }
] as const satisfies readonly PluginKind[]

export type PluginName = (typeof pluginKinds)[number]['name']

export function kindOf(name: string): PluginKind | undefined {
  return pluginKinds.find((kind) => kind.name === name)
}

/** The kind of setting that a key is one of. */
export function settingOf(kind: PluginKind, key: string): SettingKind | undefined {
  return kind.settings.find((setting) => patternOf(setting.key).test(key))
}

function patternOf(key: string): RegExp {
  const plain = key.replace(/\./g, '\\.')
  return new RegExp(`^${plain.replace('<n>', '[1-9][0-9]?').replace('<name>', '[a-z0-9-]{1,64}')}$`)
}

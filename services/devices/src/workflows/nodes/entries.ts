import { compile, oneOf, type Static, Type } from '@fleetgate/kit'
import { valueTypes } from '../../entities/storedValue.js'
import { type NodeContext, nodeType } from '../nodeType.js'
import { nextTime, TimerSettings } from '../timer.js'
import { isTopicFilter } from '../topicFilter.js'

const pass = (_parameters: unknown, { input }: NodeContext) => ({ output: input })
const Keys = Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { maxItems: 500 })

const Timer = Type.Object({ timerSettings: TimerSettings })
export const simpleTimer = nodeType<Static<typeof Timer>>({
  component: 'simpleTimer',
  title: 'Timer',
  group: 'entry',
  form: [{ name: 'timerSettings', title: 'Timer settings', type: 'object', control: 'timerSettings' }],
  parameters: Timer,
  problem: ({ timerSettings }) => {
    try {
      nextTime(timerSettings, 0, 0)
    } catch (error) {
      return (error as Error).message
    }
  },
  run: pass
})

export const Trigger = Type.Object({
  entityConfigs: Type.Array(
    Type.Object({
      identify: Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_@#$\\-/\\[\\]:]+$' }),
      name: Type.Optional(Type.String({ maxLength: 127 })),
      type: oneOf(valueTypes.filter((type) => type !== 'OBJECT')),
      required: Type.Optional(Type.Boolean())
    }),
    { maxItems: 50, default: [] }
  )
})
export const trigger = nodeType<Static<typeof Trigger>>({
  component: 'trigger',
  title: 'Trigger',
  group: 'entry',
  form: [
    {
      name: 'entityConfigs',
      title: 'Arguments',
      type: 'array',
      description: 'What callers of the service of this workflow give',
      control: 'paramDefineInput',
      isOutput: true
    }
  ],
  isTestable: true,
  parameters: Trigger,
  run: pass
})

const Listener = Type.Object({
  entities: Type.Optional(Keys),
  entityData: Type.Optional(Type.Object({ keys: Type.Optional(Keys) }))
})
export const eventListener = nodeType<Static<typeof Listener>>({
  component: 'eventListener',
  title: 'Entity listener',
  group: 'entry',
  form: [
    {
      name: 'entities',
      title: 'Entity listening setting',
      type: 'array',
      description: 'New values of these entities start the workflow',
      control: 'entityMultipleSelect',
      isOutput: true
    }
  ],
  parameters: Listener,
  problem: (parameters) => (listenedKeys(parameters).length > 0 ? undefined : 'entities is required'),
  uses: (parameters) => listenedKeys(parameters).map((key) => ({ field: 'entities', key })),
  run: pass
})

const Mqtt = Type.Object({
  subscriptionTopic: Type.String({ minLength: 1, maxLength: 512 }),
  encoding: Type.Optional(oneOf(['UTF-8', 'utf-8', 'UTF8', 'base64', 'BASE64']))
})
export const simpleMqtt = nodeType<Static<typeof Mqtt>>({
  component: 'simpleMqtt',
  title: 'MQTT in',
  group: 'entry',
  form: [
    {
      name: 'subscriptionTopic',
      title: 'Subscription topic',
      type: 'string',
      required: true,
      control: 'mqttTopicInput'
    },
    { name: 'encoding', title: 'Encoding', type: 'string', required: true, options: ['UTF-8', 'Base64'] }
  ],
  parameters: Mqtt,
  problem: ({ subscriptionTopic }) =>
    isTopicFilter(subscriptionTopic) ? undefined : 'subscriptionTopic is no topic filter',
  run: pass
})

export const httpMethods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'] as const
/** A part of a path: as it is, or `{name}` for any. */
const part = '(?:[A-Za-z0-9_.~-]+|\\{[A-Za-z0-9_]{1,64}\\})'
const HttpIn = Type.Object({
  method: oneOf(httpMethods),
  url: Type.String({ minLength: 1, maxLength: 256, pattern: `^/?${part}(?:/+${part})*/?$` }),
  /** Left out: the default one. */
  credential: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 64 }), Type.Integer()]))
})
/** Stands for the default credential of the tenant among those that workflows wait with. */
export const defaultCredential = ''
export const httpIn = nodeType<Static<typeof HttpIn>>({
  component: 'httpIn',
  title: 'HTTP in',
  group: 'entry',
  form: [
    { name: 'method', title: 'HTTP method', type: 'string', required: true, options: httpMethods, group: 'Setting' },
    { name: 'url', title: 'URL', type: 'string', required: true, group: 'Setting' }
  ],
  parameters: HttpIn,
  credential: ({ credential }) =>
    credential === undefined ? undefined : { field: 'credential', id: String(credential), listed: true },
  run: pass
})

/** What the entry node of a workflow waits for, as the store finds it. */
export interface Wait {
  component: string
  keys: string[]
  topic?: string | undefined
  encoding?: string | undefined
  http?: { method: string; path: string; credentialId: string } | undefined
  timer?: TimerSettings | undefined
}

const checks = { Timer: compile(Timer), Listener: compile(Listener), Mqtt: compile(Mqtt), HttpIn: compile(HttpIn) }

/** Of an entry node whose parameters were checked. */
export function waitOf(component: string, parameters: unknown): Wait {
  const wait: Wait = { component, keys: [] }
  if (component === 'simpleTimer') return { ...wait, timer: checks.Timer(parameters).timerSettings }
  if (component === 'eventListener') return { ...wait, keys: listenedKeys(checks.Listener(parameters)) }
  if (component === 'simpleMqtt') {
    const { subscriptionTopic, encoding } = checks.Mqtt(parameters)
    return { ...wait, topic: subscriptionTopic, encoding }
  }
  if (component !== 'httpIn') return wait
  const { method, url, credential = defaultCredential } = checks.HttpIn(parameters)
  return { ...wait, http: { method, path: httpPath(url), credentialId: String(credential) } }
}

export function httpPath(url: string): string {
  return url.split('/').filter(Boolean).join('/')
}

/** What `{name}` of a template stands for in a path, by `pathParam.<name>`; nothing where they do not fit. */
export function pathParams(template: string, path: string): Record<string, string> | undefined {
  const wanted = template.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return undefined
  const found: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    const name = /^\{(.+)\}$/.exec(part)?.[1]
    if (name !== undefined) found[`pathParam.${name}`] = value
    else if (part !== value) return undefined
  }
  return found
}

function listenedKeys({ entities = [], entityData }: Static<typeof Listener>): string[] {
  return [...new Set([...entities, ...(entityData?.keys ?? [])])]
}

import { matches } from '../../src/broker/topics.js'

export interface Rights {
  isSuperuser: boolean
  tenant: string
  acl: { action: string; topic: string }[]
  /** What the authorizer said, by action and topic. */
  remembered: Map<string, boolean>
}

type Question = Record<string, unknown>

/** Asks our service as EMQX asks its HTTP authenticator and authorizer: whatever is not 200 with JSON is "ignore". */
export function createAsking(authUrl: () => string, secret: string, version: number) {
  async function ask(path: string, body: Question): Promise<Record<string, unknown>> {
    try {
      const response = await fetch(`${authUrl()}/internal/emqx/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-fleetgate-secret': secret },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(5000)
      })
      return response.status === 200 ? ((await response.json()) as Record<string, unknown>) : { result: 'ignore' }
    } catch {
      return { result: 'ignore' }
    }
  }

  return {
    /** Alone in the chain: "ignore" lets nobody in. */
    async logIn(question: Question): Promise<Rights | undefined> {
      const { result, is_superuser, acl, client_attrs } = await ask('authenticate', question)
      if (result !== 'allow') return undefined
      const { tenant = '' } = (version < 5.7 ? {} : (client_attrs ?? {})) as { tenant?: string }
      const rules = (version < 5.8 ? [] : (acl ?? [])) as Rights['acl']
      return { isSuperuser: is_superuser === true, tenant, acl: rules, remembered: new Map() }
    },

    async mayUse(rights: Rights, question: { action: string; topic: string } & Question): Promise<boolean> {
      const { action } = question
      // As if it were published at once.
      const topic = question.topic.replace(/^\$delayed\/[^/]*\//, '')
      if (rights.isSuperuser) return true
      if (rights.acl.some((rule) => rule.action === action && (rule.topic === topic || matches(rule.topic, topic))))
        return true
      const key = `${action} ${topic}`
      const known = rights.remembered.get(key)
      if (known !== undefined) return known
      const { result } = await ask('authorize', { ...question, topic })
      // no_match = deny
      if (result !== 'ignore') rights.remembered.set(key, result === 'allow')
      return result === 'allow'
    }
  }
}

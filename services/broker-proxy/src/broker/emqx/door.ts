import type { Log } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import { type BrokerRules, LogInRefused, type Session } from '../brokerDriver.js'
import { isOwnCast } from '../topics.js'
import { ownIdPrefix } from './links.js'
import { overlaps } from './overlaps.js'
import type { EmqxSettings } from './settings.js'
import { isSame } from './sharedSecret.js'
import type { TopicSpace } from './topicSpace.js'

export interface LogInQuestion {
  clientid: string
  username: string
  password: string
  peerhost: string
}

export interface PermissionQuestion {
  clientid: string
  username: string
  action: string
  topic: string
}

export interface LogInAnswer {
  result: 'allow' | 'deny'
  is_superuser?: boolean
  /** From 5.7. */
  client_attrs?: { tenant: string }
  /** From 5.8: asked before the authorizer, so that machines' own topics cost no question. */
  acl?: { permission: 'allow'; action: 'publish' | 'subscribe'; topic: string }[]
}

/** What EMQX asks us: who may come in, and who may do what. */
export interface Door {
  logIn(question: LogInQuestion): Promise<LogInAnswer>
  mayUse(question: PermissionQuestion): boolean
  /** Who came in through this process a while ago: known here before EMQX's event arrives. */
  recent(clientId: string): Session | undefined
}

export interface DoorParts {
  settings: EmqxSettings
  space: TopicSpace
  rules: () => BrokerRules | undefined
  /** Without anybody listening EMQX would acknowledge reports that nobody stores: then nobody is let in. */
  isListening: () => boolean
  log: Log
}

const maxRecent = 50_000
const ownTopics = /^fleet\/([^/]+)\/up\//

export function createDoor({ settings, space, rules, isListening, log }: DoorParts): Door {
  const recent = new LRUCache<string, Session>({ max: maxRecent })

  function isOurs({ username, password }: LogInQuestion): boolean {
    return (
      settings.username !== undefined && username === settings.username && isSame(password, settings.password ?? '')
    )
  }

  async function admit(known: BrokerRules, question: LogInQuestion): Promise<Session> {
    const { clientid, username, password, peerhost } = question
    const attempt = { clientId: clientid, username, password: Buffer.from(password), ip: ipv4(peerhost) }
    // EMQX does not say the rest here; its event and its list do.
    return known.logIn({ ...attempt, port: 0, keepalive: 0, protoVer: 4, clean: true })
  }

  function mayPublish(known: BrokerRules, session: Session, topic: string): boolean {
    if (topic.startsWith('$file/')) return true
    const reporter = ownTopics.exec(topic)?.[1]
    // The topic is all that names the sender of a report later on.
    if (reporter !== undefined) return reporter === session.clientId && known.mayPublish(session, topic)
    const isFleets = topic === 'fleet' || topic.startsWith('fleet/')
    if (!space.isMounted && (isFleets || !space.mayUsePlainTopics(session.tenantId))) return false
    return known.mayPublish(session, topic)
  }

  function maySubscribe(known: BrokerRules, session: Session, filter: string): boolean {
    if (!known.maySubscribe(session, filter)) return false
    if (filter.startsWith(`fleet/${session.clientId}/down/`) || isOwnCast(session, filter)) return true
    if (!space.isMounted && (!space.mayUsePlainTopics(session.tenantId) || overlaps('fleet/#', filter))) return false
    // EMQX holds nothing back message by message: a filter that reaches into what is denied is denied as a whole.
    return !known.account(session.username)?.denied.some((denied) => overlaps(denied, filter))
  }

  return {
    recent: (clientId) => recent.get(clientId),

    async logIn(question) {
      const known = rules()
      if (isOurs(question)) return { result: 'allow', is_superuser: true }
      if (!known || question.clientid.startsWith(ownIdPrefix) || question.username === settings.username) return denied
      if (!isListening()) return denied
      try {
        const session = await admit(known, question)
        recent.set(session.clientId, session)
        return {
          result: 'allow',
          is_superuser: false,
          client_attrs: { tenant: session.tenantId },
          ...(isTemplate(session.clientId) ? {} : { acl: ownRights(session.clientId) })
        }
      } catch (error) {
        if (!(error instanceof LogInRefused)) log.warn({ err: error }, 'log-in of a client failed')
        return denied
      }
    },

    mayUse({ clientid, username, action, topic }) {
      const known = rules()
      if (clientid.startsWith(ownIdPrefix)) return true
      const tenantId = known?.account(username)?.tenantId
      if (!known || tenantId === undefined) return false
      const session = { ...nobody, tenantId, clientId: clientid, username }
      if (action === 'publish') return mayPublish(known, session, topic)
      return action === 'subscribe' && maySubscribe(known, session, topic)
    }
  }
}

const denied: LogInAnswer = { result: 'deny' }
const nobody = {
  ip: '',
  port: 0,
  connectedAt: 0,
  keepalive: 0,
  protoVer: 4,
  clean: true
}

/** EMQX reads topics of an acl as templates; an id must not become one. */
function isTemplate(clientId: string): boolean {
  return clientId.includes('$')
}

function ownRights(clientId: string): NonNullable<LogInAnswer['acl']> {
  return [
    { permission: 'allow', action: 'publish', topic: `fleet/${clientId}/up/#` },
    { permission: 'allow', action: 'subscribe', topic: `fleet/${clientId}/down/#` },
    { permission: 'allow', action: 'publish', topic: '$file/#' }
  ]
}

function ipv4(address: string): string {
  return address.replace(/^::ffff:/, '')
}

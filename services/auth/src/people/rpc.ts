import {
  type Actor,
  type Bus,
  changePersonPassword,
  createPerson,
  deletePerson,
  getPerson,
  listPeople,
  type Subscription,
  updatePerson
} from '@fleetgate/kit'
import type { Audit } from '../audit/audit.js'
import type { People } from './people.js'

/** Answers broker-proxy, whose edge speaks EMQ's API of users. */
export function servePeople(bus: Bus, { people, audit }: { people: People; audit: Audit }): Promise<Subscription[]> {
  /** The same records as for changes over our own routes. */
  async function recorded(actor: Actor, action: string, targets: string[], work: () => Promise<unknown>) {
    const touched = (id: unknown) => (typeof id === 'string' ? [id] : [])
    await audit.around({ ...actor, action, targets }, work, touched)
    return {}
  }

  return Promise.all([
    bus.serve(listPeople, async ({ tenantId, after, limit }) => ({
      people: await people.list(tenantId, after, limit)
    })),
    bus.serve(getPerson, async ({ tenantId, username }) => {
      const person = await people.find(tenantId, username)
      return person ? { person } : {}
    }),
    bus.serve(createPerson, ({ actor, ...draft }) =>
      recorded(actor, 'user.create', [draft.username], () => people.create(draft, actor))
    ),
    bus.serve(updatePerson, ({ actor, username, ...change }) =>
      recorded(actor, 'user.update', [username], () => people.update(username, change, actor))
    ),
    bus.serve(deletePerson, ({ actor, username }) =>
      recorded(actor, 'user.delete', [username], () => people.remove(username, actor))
    ),
    bus.serve(changePersonPassword, ({ actor, username, ...change }) =>
      recorded(actor, 'user.change-password', [username], () => people.changePassword(username, change, actor))
    )
  ])
}

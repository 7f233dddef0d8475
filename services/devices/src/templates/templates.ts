import { AppError, type Caller, newNumericId } from '@fleetgate/kit'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { Settle } from '../devices/settle.js'
import type { ReachOf } from '../grants/reach.js'
import { isReached } from '../integrations/integration.js'
import { blueprintOf } from './blueprint.js'
import { checkChange, checkTemplate } from './checkTemplate.js'
import { mqttDevice, type Template, type TemplateDraft } from './template.js'
import type { TemplateStore } from './templateStore.js'

export interface TemplateView {
  template: Template
  deviceCount: number
}

export type Templates = ReturnType<typeof createTemplates>

export interface TemplatesOptions {
  store: TemplateStore
  devices: Pick<DeviceStore, 'countOfTemplate' | 'reblueprint' | 'idsOfTemplate'>
  settle: Settle
  reachOf: ReachOf
  now: () => number
}

/** Every message of a tenant is held against each of its templates. */
const maxTemplates = 200

/** Templates of MQTT devices, for those who may see their integration. */
export function createTemplates({ store, devices, settle, reachOf, now }: TemplatesOptions) {
  async function admit(caller: Caller): Promise<string> {
    if (isReached(mqttDevice, await reachOf(caller))) return caller.tenantId
    throw new AppError('not_found', 'there is no such integration')
  }

  async function view(template: Template): Promise<TemplateView> {
    return { template, deviceCount: await devices.countOfTemplate(template.tenantId, template.id) }
  }

  async function find(id: string, caller: Caller): Promise<Template> {
    const template = await store.find(await admit(caller), id)
    if (!template) throw new AppError('not_found', 'there is no such template')
    return template
  }

  async function removeOne(tenantId: string, id: string): Promise<void> {
    const template = await store.find(tenantId, id)
    if (!template) return
    await store.remove(tenantId, id)
    // A device that came while it went keeps it; one that comes now finds no template and goes.
    if ((await devices.countOfTemplate(tenantId, id)) === 0) return
    await store.insert(template)
    throw inUse(id)
  }

  return {
    async add(draft: TemplateDraft, caller: Caller): Promise<string> {
      const tenantId = await admit(caller)
      checkTemplate(draft)
      if ((await store.count(tenantId)) >= maxTemplates) {
        throw new AppError('quota_exceeded', `there are ${maxTemplates} templates already`)
      }
      const traffic = { messages: 0, samples: 0, refused: 0 }
      const own = { id: newNumericId(now()), tenantId, createdAt: now(), updatedAt: now(), traffic }
      await store.insert({ ...draft, ...own })
      return own.id
    },

    async search(name: string | undefined, range: { offset: number; limit: number }, caller: Caller) {
      const { items, total } = await store.search(await admit(caller), name, range)
      return { items: await Promise.all(items.map(view)), total }
    },

    get: async (id: string, caller: Caller): Promise<TemplateView> => view(await find(id, caller)),

    /** Its devices get the entities that are new; what is no longer named stays with them, with its history. */
    async change(id: string, draft: TemplateDraft, caller: Caller): Promise<void> {
      const before = await find(id, caller)
      checkTemplate(draft)
      checkChange(before.entities, draft.entities)
      const { tenantId } = before
      if (!(await store.update(tenantId, id, draft, now())))
        throw new AppError('not_found', 'there is no such template')
      await devices.reblueprint(tenantId, id, blueprintOf({ id, entities: draft.entities }, '').entities)
      for await (const deviceId of devices.idsOfTemplate(tenantId, id)) await settle(deviceId)
    },

    /** Unknown ids are passed over; one that has devices stops all before any goes. */
    async remove(ids: string[], caller: Caller): Promise<void> {
      const tenantId = await admit(caller)
      for (const id of ids) {
        if ((await devices.countOfTemplate(tenantId, id)) > 0) throw inUse(id)
      }
      for (const id of ids) await removeOne(tenantId, id)
    },

    check: checkTemplate,
    find
  }
}

function inUse(id: string): AppError {
  return new AppError('invalid_state', `template ${id} has devices`)
}

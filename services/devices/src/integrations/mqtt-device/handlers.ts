import { AppError } from '@fleetgate/kit'
import type { StoredValue } from '../../entities/storedValue.js'
import { blueprintOf } from '../../templates/blueprint.js'
import { pointerOf } from '../../templates/checkTemplate.js'
import { toDevice } from '../../templates/conversion.js'
import { documentOf } from '../../templates/pointer.js'
import type { Template, TemplateChild } from '../../templates/template.js'
import { isDeviceId, topicOf } from '../../templates/topicPattern.js'
import type { Handlers, IntegrationTools } from '../manifest.js'

/** What goes down is a JSON object with each value at the pointer of its entity. */
export function createHandlers(tools: IntegrationTools): Handlers {
  async function send(tenantId: string, deviceId: string | undefined, saidOf: (template: Template) => Said[]) {
    const device = deviceId === undefined ? undefined : await tools.findDevice(tenantId, deviceId)
    const template = device?.template === undefined ? undefined : await tools.findTemplate(tenantId, device.template)
    if (!device || !template?.downTopic) {
      throw new AppError('invalid_state', 'this device has no topic that anything could be sent to')
    }
    const said = saidOf(template)
    if (said.length === 0) {
      throw new AppError('invalid_state', 'the template of this device does not say (any more) how this is sent')
    }
    const document = documentOf(said)
    await tools.publish(tenantId, topicOf(template.downTopic, device.identifier), JSON.stringify(document))
  }

  return {
    async addDevice(_name, { device_id, template: templateId }, { tenantId }) {
      const template = await tools.findTemplate(tenantId, String(templateId))
      if (!template) refuse('template', 'names no template')
      if (!isDeviceId(String(device_id))) refuse('device_id', 'has characters that an identifier may not have')
      return blueprintOf(template as Template, String(device_id))
    },

    write: ({ tenantId, deviceId, values }) =>
      send(tenantId, deviceId, ({ entities }) => {
        const said = entities.flatMap((entity) => saidBy(entity, values))
        // All or nothing: a value that was not sent may not be kept as one that was.
        return said.length === Object.keys(values).length ? said : []
      }),

    async call({ tenantId, deviceId, service, params }) {
      await send(tenantId, deviceId, ({ entities }) => {
        const called = entities.find(({ identifier, type }) => identifier === service && type === 'SERVICE')
        if (!called) return []
        if (called.valueType !== 'OBJECT') return saidBy(called, params)
        const children = called.children ?? []
        if (children.length === 0) return [{ pointer: pointerOf(called), value: {} }]
        return children.flatMap((child) => saidBy(child, params))
      })
      return {}
    }
  }
}

interface Said {
  pointer: string
  value: unknown
}

function saidBy(entity: TemplateChild, values: Record<string, StoredValue>): Said[] {
  if (!Object.hasOwn(values, entity.identifier)) return []
  const value = values[entity.identifier] as StoredValue
  return [{ pointer: pointerOf(entity), value: toDevice(value, entity.conversion) }]
}

function refuse(field: string, reason: string): never {
  throw new AppError('invalid_input', `${field} ${reason}`, { field })
}

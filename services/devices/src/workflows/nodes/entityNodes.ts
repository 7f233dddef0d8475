import { recordOf, type Static, Type } from '@fleetgate/kit'
import { nodeType } from '../nodeType.js'

const Key = Type.String({ minLength: 1, maxLength: 512 })
const Values = recordOf(Type.Unknown())

const Assigner = Type.Object({ exchangePayload: Values })
/** Writes properties, as a person with the product's own rights does: values are checked, devices are told. */
export const entityAssigner = nodeType<Static<typeof Assigner>>({
  component: 'entityAssigner',
  title: 'Assigner',
  group: 'action',
  form: [{ name: 'exchangePayload', title: 'Assignment setting', type: 'map', control: 'entityAssignSelect' }],
  parameters: Assigner,
  hasEffect: true,
  problem: ({ exchangePayload }) =>
    Object.keys(exchangePayload).length > 0 ? undefined : 'exchangePayload names no entity',
  uses: ({ exchangePayload }) => Object.keys(exchangePayload).map((key) => ({ field: 'exchangePayload', key })),
  async run({ exchangePayload }, { tenantId, writeValues }) {
    await writeValues(tenantId, exchangePayload)
    return { output: exchangePayload }
  }
})

const Selector = Type.Object({ entities: Type.Array(Key, { minItems: 1, maxItems: 500 }) })
export const entitySelector = nodeType<Static<typeof Selector>>({
  component: 'entitySelector',
  title: 'Entity selector',
  group: 'action',
  form: [
    {
      name: 'entities',
      title: 'Entity select setting',
      type: 'array',
      control: 'entityMultipleSelect',
      isOutput: true
    }
  ],
  parameters: Selector,
  uses: ({ entities }) => entities.map((key) => ({ field: 'entities', key })),
  async run({ entities }, { tenantId, readValues }) {
    return { output: await readValues(tenantId, entities) }
  }
})

const Service = Type.Object({
  serviceInvocationSetting: Type.Object({ serviceEntity: Key, serviceParams: Type.Optional(Values) })
})
export const serviceInvocation = nodeType<Static<typeof Service>>({
  component: 'serviceInvocation',
  title: 'Service',
  group: 'action',
  form: [
    { name: 'serviceInvocationSetting', title: 'Service setting', type: 'map', control: 'serviceEntitySetting' },
    {
      name: 'payload',
      title: 'Output variables',
      type: 'array',
      description: 'What the service answers, where it answers something',
      control: 'paramDefineInput',
      isOutput: true
    }
  ],
  parameters: Service,
  hasEffect: true,
  uses: ({ serviceInvocationSetting: { serviceEntity, serviceParams = {} } }) =>
    [serviceEntity, ...Object.keys(serviceParams)].map((key) => ({ field: 'serviceInvocationSetting', key })),
  async run({ serviceInvocationSetting: { serviceEntity, serviceParams = {} } }, { tenantId, callService }) {
    return { output: await callService(tenantId, { [serviceEntity]: {}, ...serviceParams }) }
  }
})

const Output = Type.Object({ outputVariables: Values })
/** What callers of a trigger and of HTTP in are answered. */
export const output = nodeType<Static<typeof Output>>({
  component: 'output',
  title: 'Output',
  group: 'action',
  form: [
    { name: 'outputVariables', title: 'Output variables', type: 'map', control: 'paramAssignInput', isOutput: true }
  ],
  isTestable: true,
  parameters: Output,
  run: ({ outputVariables }) => ({ output: outputVariables, isAnswer: true })
})

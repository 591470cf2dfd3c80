export { catalogueOn } from './catalogue.ts';
export type { ResourceDeps } from './contract.ts';
export * from './ids.ts';
export { MaintenanceDesk } from './maintenance.ts';
export { kernelPorts } from './ports.ts';
export { Resources } from './resources.ts';
export { roomOn } from './room.ts';
export type { ScalingSkus, SkuQuestion, SkuView } from './sku-views.ts';
